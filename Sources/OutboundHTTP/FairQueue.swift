/// Who may transfer now: at most so many at the same time in all and per lane (a host), the rest wait. Lanes with waiting elements take turns,
/// one element each, so a lane that is slow or long holds up only itself. No clock and no I/O.
struct FairQueue<Element> {
    struct Limits: Sendable {
        var running: Int
        var runningPerLane: Int
        var waiting: Int
        var waitingPerLane: Int
    }

    private struct Lane {
        var waiting: [Element] = []
        var running = 0
        /// Whether the lane is in `turns`: exactly when it has waiting elements and room to run one.
        var hasTurn = false
    }

    let limits: Limits
    private(set) var running = 0
    private(set) var waiting = 0
    private var lanes: [String: Lane] = [:]
    private var turns: [String] = []

    init(_ limits: Limits) { self.limits = limits }

    /// False if too many wait already.
    mutating func append(_ element: Element, lane name: String) -> Bool {
        var lane = lanes[name] ?? Lane()
        guard waiting < limits.waiting, lane.waiting.count < limits.waitingPerLane else { return false }
        lane.waiting.append(element)
        waiting += 1
        settle(name, lane)
        return true
    }

    /// The next element that may run; it runs until `finished` is called for its lane.
    mutating func next() -> Element? {
        guard running < limits.running, !turns.isEmpty else { return nil }
        let name = turns.removeFirst()
        guard var lane = lanes[name], !lane.waiting.isEmpty else { return nil }
        lane.hasTurn = false
        let element = lane.waiting.removeFirst()
        lane.running += 1
        running += 1
        waiting -= 1
        settle(name, lane)
        return element
    }

    mutating func finished(lane name: String) {
        guard var lane = lanes[name], lane.running > 0 else { return }
        lane.running -= 1
        running -= 1
        settle(name, lane)
    }

    /// Takes elements out of the lane, or out of all lanes, that no longer want to wait.
    mutating func remove(lane only: String? = nil, where isOver: (Element) -> Bool) -> [Element] {
        var removed: [Element] = []
        for name in only.map({ [$0] }) ?? Array(lanes.keys) {
            guard var lane = lanes[name] else { continue }
            let before = removed.count
            removed += lane.waiting.filter(isOver)
            guard removed.count > before else { continue }
            lane.waiting.removeAll(where: isOver)
            waiting -= removed.count - before
            if lane.waiting.isEmpty, lane.hasTurn {
                lane.hasTurn = false
                turns.removeAll { $0 == name }
            }
            settle(name, lane)
        }
        return removed
    }

    private mutating func settle(_ name: String, _ lane: Lane) {
        var lane = lane
        if !lane.hasTurn, !lane.waiting.isEmpty, lane.running < limits.runningPerLane {
            lane.hasTurn = true
            turns.append(name)
        }
        lanes[name] = lane.waiting.isEmpty && lane.running == 0 ? nil : lane
    }
}
