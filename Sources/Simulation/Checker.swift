/// A broken promise: which one, and how it showed.
package struct Violation: Sendable, CustomStringConvertible {
    package let invariant: String
    package let detail: String

    package var description: String { "\(invariant): \(detail)" }
}

/// What a run comes to, counted at the recipients (the five classes of reliability.md §1, A15) and over the states.
package struct Figures: Sendable {
    package var accepted = 0
    package var ok = 0
    package var recovered = 0
    package var lost = 0
    package var shownTwice = 0
    package var unexpected = 0
    package var stuck = 0
    package var wires = 0
    package var resends = 0
    package var moves = 0
    package var takeovers = 0
    package var states: [ModelState: Int] = [:]

    package init() {}

    package static func += (sum: inout Figures, part: Figures) {
        sum.accepted += part.accepted
        sum.ok += part.ok
        sum.recovered += part.recovered
        sum.lost += part.lost
        sum.shownTwice += part.shownTwice
        sum.unexpected += part.unexpected
        sum.stuck += part.stuck
        sum.wires += part.wires
        sum.resends += part.resends
        sum.moves += part.moves
        sum.takeovers += part.takeovers
        sum.states.merge(part.states, uniquingKeysWith: +)
    }
}

/// What the world knows for sure and every step is held against. It sees all that the engine cannot see: what the server took, what was shown.
struct Checker {
    struct Known {
        var state: ModelState
        var events: Int
        var moves: Int
        /// The sender over which its bytes may have left, until a refusal proves that they did not arrive.
        var welded: Int?
        var wires = 0
        var frames: [Int] = []
    }

    var violation: Violation?
    var known: [Known?] = []
    var messageOf: [Int?]
    var openDeadlines = 0
    var slack: Int
    /// What each pair's ratchet has encrypted that has left.
    var ratchets: [Int: Set<Int>] = [:]
    /// Wires per sender and minute, by the moments that the nodes gave; and the last minute of each sender.
    var perMinute: [Int: Int] = [:]
    var minutes: [Int: Int] = [:]
    var epochs: [Int: Int] = [:]
    /// Flights whose pre-wire was committed, with the attempt's number.
    var committed: Set<Int> = []
    var takeovers = 0
    let isCalm: Bool

    init(plan: Plan) {
        messageOf = Array(repeating: nil, count: plan.requests.count)
        slack = plan.slack
        isCalm = plan.faults.isEmpty && plan.refusals + plan.acksLost + plan.acksLate + plan.failingCalls + plan.stumbles + plan.unresolved == 0
    }

    mutating func fail(_ invariant: String, _ detail: String) {
        if violation == nil { violation = Violation(invariant: invariant, detail: detail) }
    }

    /// I5: epochs only count up.
    mutating func took(_ owner: ModelOwner) {
        takeovers += 1
        if let last = epochs[owner.sender], owner.epoch <= last {
            fail("I5", "sender \(owner.sender) taken under epoch \(owner.epoch) after \(last)")
        }
        epochs[owner.sender] = max(owner.epoch, epochs[owner.sender, default: 0])
    }

    /// How many events a change of state is.
    static func events(from old: ModelState, to new: ModelState) -> Int {
        guard old != new else { return 0 }
        let reached = [ModelState.sent: 3, .delivered: 4, .read: 5]
        if let rank = reached[new] { return rank - (reached[old] ?? 2) }
        return 1
    }

    func figures(_ database: ModelDatabase, _ clients: [Client]) -> Figures {
        var figures = Figures()
        figures.accepted = clients.count(where: \.isAccepted)
        figures.takeovers = takeovers
        for (id, message) in database.messages.enumerated() {
            guard let message else { continue }
            let client = clients[message.request]
            figures.states[message.state, default: 0] += 1
            figures.moves += message.moves
            let wires = id < known.count ? known[id]?.wires ?? 0 : 0
            figures.wires += wires
            figures.resends += max(0, wires - 1)
            if client.shown > 1 {
                figures.shownTwice += 1
            } else if !message.state.isSettled {
                figures.stuck += 1
            } else if client.shown == 0, message.state == .sent || message.state == .delivered || message.state == .read {
                figures.lost += 1
            } else if client.shown > 0, message.state == .failed || message.state == .expired || message.state == .canceled {
                figures.unexpected += 1
            } else if client.isAccepted {
                figures.ok += 1
            } else {
                figures.recovered += 1
            }
        }
        figures.lost += clients.count { $0.isAccepted && $0.message.map { database.messages[$0] == nil } ?? true }
        return figures
    }
}

extension World {
    /// After a transaction: every message that it wrote has moved as it may, and its events say so (I2, I3, I9, and that a refusal is proof).
    func checkTouched() {
        let touched = database.touched
        database.touched = []
        for id in touched { checkMessage(id) }
    }

    private func checkMessage(_ id: Int) {
        while checker.known.count <= id { checker.known.append(nil) }
        guard let message = database.messages[id] else { return }
        let told = database.events[id]
        if isTracing { note("message \(id): \(message.state.name), outbox \(database.outbox[id]?.state.name ?? "gone")") }
        guard let old = checker.known[id] else {
            if let other = checker.messageOf[message.request] { checker.fail("I2", "request \(message.request) is message \(other) and \(id)") }
            checker.messageOf[message.request] = id
            checker.openDeadlines += 1
            queue.add(.deadline(id), at: message.expiresAt + 75_000 + 45_000 + checker.slack)
            checker.known[id] = Checker.Known(state: message.state, events: told.count, moves: message.moves)
            if told.count != 1 || told[0].number != 1 { checker.fail("I9", "message \(id) begins with \(told.count) events") }
            return
        }
        if old.state != message.state, !ModelTransitions.message(old.state, message.state) {
            checker.fail("I3", "message \(id) went from \(old.state.name) to \(message.state.name)")
        }
        let expected = Checker.events(from: old.state, to: message.state) + (old.state == message.state ? message.moves - old.moves : 0)
        if told.count - old.events != expected || message.eventCount != told.count || told.last?.number != told.count {
            checker.fail("I9", "message \(id), \(old.state.name) → \(message.state.name): \(told.count - old.events) events, \(expected) expected")
        }
        if (database.outbox[id] != nil) == message.state.isSettled {
            checker.fail("I3", "message \(id) is \(message.state.name) and its outbox row \(message.state.isSettled ? "stands" : "is gone")")
        }
        if old.state == .onWire, message.state == .accepted || message.state == .failed {
            // Only a refusal leads here, and a refusal is proof.
            let isOut = old.frames.contains { [.underWay, .taken, .repeated].contains(server.frames[$0].fate) }
            if isOut { checker.fail("proof", "message \(id) is \(message.state.name), but its bytes are out") }
            checker.known[id]?.welded = nil
        }
        if message.state.isSettled, !old.state.isSettled { checker.openDeadlines -= 1 }
        checker.known[id]?.state = message.state
        checker.known[id]?.events = told.count
        checker.known[id]?.moves = message.moves
    }

    /// At the moment at which the pre-wire commits (I7, I8, limits). Resends are not counted: their bytes may have left already.
    func checkPreWire(_ index: Int, _ moment: Int) {
        let flight = flights[index]
        let id = flight.claim.message
        checker.committed.insert(index)
        checkFence(flight.claim.owner)
        if moment >= flight.claim.expiresAt {
            checker.fail("I8", "message \(id) goes on the wire at \(moment), expired at \(flight.claim.expiresAt)")
        }
        if let welded = checker.known[id]?.welded, welded != flight.claim.owner.sender {
            checker.fail("I7", "message \(id) over sender \(flight.claim.owner.sender) after sender \(welded)")
        }
        checker.known[id]?.welded = flight.claim.owner.sender
        if flight.claim.onWireBefore { return }
        // One that comes late leaves in the minute of those that passed it.
        let latest = max(checker.minutes[flight.claim.owner.sender, default: 0], (ModelTime.epoch + moment) / 60_000)
        checker.minutes[flight.claim.owner.sender] = latest
        let minute = flight.claim.owner.sender * 1_000_000 + latest
        checker.perMinute[minute, default: 0] += 1
        if let cap = plan.perMinute, checker.perMinute[minute, default: 0] > cap {
            checker.fail("limit", "sender \(flight.claim.owner.sender) sends more than \(cap) in a minute")
        }
    }

    /// Nothing is written under an epoch that is over (fence 1 of reliability.md §2.5).
    func checkFence(_ owner: ModelOwner) {
        let epoch = database.leases[owner.sender].epoch
        if epoch != owner.epoch { checker.fail("fence", "sender \(owner.sender): epoch \(owner.epoch) writes, epoch \(epoch) holds") }
    }

    /// The node has just made sure that it may write: then the lease is its own (I5).
    func checkTrust(_ index: Int) {
        let owner = flights[index].claim.owner
        let lease = database.leases[owner.sender]
        if lease.epoch != owner.epoch || lease.holder != flights[index].node * 10_000 + flights[index].incarnation {
            checker.fail("I5", "sender \(owner.sender): epoch \(owner.epoch) writes while epoch \(lease.epoch) holds")
        }
    }

    /// The first byte leaves (I4, I6, I8).
    func checkByte(_ index: Int) {
        let flight = flights[index]
        let id = flight.claim.message
        if let ratchet = flight.ratchet {
            let pair = ModelDatabase.Pair(sender: flight.claim.owner.sender, recipient: flight.claim.recipient)
            if !checker.ratchets[pair.sender * 64 + pair.recipient, default: []].insert(ratchet).inserted {
                checker.fail("I6", "message \(id) leaves with step \(ratchet) of \(pair), which another has left with")
            }
            if database.ratchets[pair, default: 0] < ratchet { checker.fail("I6", "message \(id) leaves with a ratchet that is not stored") }
        }
        if let frame = flight.frame { checker.known[id]?.frames.append(frame) }
        checker.known[id]?.wires += 1
        if checker.committed.remove(index) == nil { checker.fail("I4", "message \(id): bytes without a committed pre-wire") }
        guard let message = database.messages[id] else { return }
        if message.state == .canceled || message.state == .expired { checker.fail("I8", "message \(id) is written while \(message.state.name)") }
        if flight.isResend, checker.known[id]?.wires ?? 0 > 1, plan.requests[message.request].atMostOnce {
            checker.fail("at most once", "message \(id) is written again")
        }
    }

    /// A recipient shows a text.
    func checkShown(_ frame: ModelServer.Frame) {
        if clients[frame.request].shown > 1 { checker.fail("shown twice", "request \(frame.request), last as message \(frame.message)") }
        if clients[frame.request].isCanceled { checker.fail("cancel", "request \(frame.request) is shown after its cancel was confirmed") }
    }

    /// I14: settled in time.
    func checkDeadline(_ id: Int) {
        guard let message = database.messages[id], !message.state.isSettled else { return }
        // Faults that came after the message was accepted may have moved its deadline.
        let deadline = message.expiresAt + 120_000 + checker.slack
        if now < deadline { return queue.add(.deadline(id), at: deadline) }
        checker.fail("I14", "message \(id) is still \(message.state.name)")
    }

    /// The drained end: the classes at the recipients (I1 among them).
    func checkEnd() {
        guard violation == nil else { return }
        for (index, client) in clients.enumerated() where client.isAccepted {
            if client.message.map({ database.messages[$0] == nil }) ?? true { checker.fail("I1", "request \(index) was accepted and is gone") }
        }
        for (id, message) in database.messages.enumerated() {
            guard let message else { continue }
            let shown = clients[message.request].shown
            switch message.state {
            case .sent, .delivered, .read: if shown == 0 { checker.fail("lost", "message \(id) is \(message.state.name) and was never shown") }
            case .failed, .expired, .canceled: if shown > 0 { checker.fail("unexpected", "message \(id) is \(message.state.name) and was shown") }
            case .unconfirmed: break
            default: checker.fail("stuck", "message \(id) ended \(message.state.name)")
            }
            if checker.isCalm, message.state == .failed || message.state == .unconfirmed {
                checker.fail("calm", "message \(id) ended \(message.state.name) although nothing broke")
            }
        }
    }
}
