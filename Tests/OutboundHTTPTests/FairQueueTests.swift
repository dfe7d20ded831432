import Testing

@testable import OutboundHTTP

@Suite struct FairQueueTests {
    /// The queue by reference, which expectations can call.
    private final class Line {
        private var queue: FairQueue<String>
        var running: Int { queue.running }
        var waiting: Int { queue.waiting }

        init(_ limits: FairQueue<String>.Limits) { queue = FairQueue(limits) }

        func append(_ element: String, lane: String) -> Bool { queue.append(element, lane: lane) }
        func next() -> String? { queue.next() }
        func finished(lane: String) { queue.finished(lane: lane) }
        func remove(lane: String? = nil, where isOver: (String) -> Bool) -> [String] { queue.remove(lane: lane, where: isOver) }
    }

    private func make(_ running: Int = 4, perLane: Int = 2, waiting: Int = 100, waitingPerLane: Int = 50) -> Line {
        Line(.init(running: running, runningPerLane: perLane, waiting: waiting, waitingPerLane: waitingPerLane))
    }

    private func drain(_ queue: Line) -> [String] {
        var all: [String] = []
        while let next = queue.next() { all.append(next) }
        return all
    }

    @Test func `lanes take turns, however long one of them is`() {
        let queue = make(100, perLane: 100)
        for number in 1...4 { #expect(queue.append("a\(number)", lane: "a")) }
        for lane in ["b", "c"] { #expect(queue.append(lane, lane: lane)) }

        #expect(drain(queue) == ["a1", "b", "c", "a2", "a3", "a4"])
    }

    @Test func `a lane runs no more than its share, and goes on when one of its own is finished`() {
        let queue = make()
        for number in 1...5 { #expect(queue.append("a\(number)", lane: "a")) }
        #expect(queue.append("b1", lane: "b"))

        #expect(drain(queue) == ["a1", "b1", "a2"])
        queue.finished(lane: "b")
        #expect(drain(queue) == [])
        queue.finished(lane: "a")
        #expect(drain(queue) == ["a3"])
        #expect(queue.running == 2)
        #expect(queue.waiting == 2)
    }

    @Test func `never more than the cap run in all`() {
        let queue = make(3)
        for number in 1...10 { #expect(queue.append("\(number)", lane: "\(number)")) }

        #expect(drain(queue).count == 3)
        queue.finished(lane: "1")
        #expect(drain(queue) == ["4"])
    }

    @Test func `what waits is bounded per lane and in all`() {
        let queue = make(waiting: 5, waitingPerLane: 3)

        #expect((1...5).map { queue.append("a\($0)", lane: "a") } == [true, true, true, false, false])
        #expect((1...3).map { queue.append("b\($0)", lane: "b") } == [true, true, false])
        #expect(drain(queue) == ["a1", "b1", "a2", "b2"])
        #expect(queue.append("a6", lane: "a"))
    }

    @Test func `what is removed neither runs nor counts`() {
        let queue = make(1, perLane: 1)
        for name in ["a1", "a2", "b1"] { #expect(queue.append(name, lane: String(name.prefix(1)))) }

        #expect(queue.remove(lane: "a") { $0 == "a1" } == ["a1"])
        #expect(queue.remove(lane: "x") { _ in true } == [])
        #expect(queue.next() == "a2")
        #expect(queue.remove { _ in true } == ["b1"])
        queue.finished(lane: "a")
        #expect(queue.next() == nil)
        #expect(queue.waiting == 0 && queue.running == 0)
        #expect(queue.append("c", lane: "c"))
        #expect(queue.next() == "c")
    }

    @Test func `counts stay right over a long random run`() {
        let queue = make(7, perLane: 2, waiting: 40, waitingPerLane: 9)
        var random = SystemRandomNumberGenerator()
        var running: [String] = []
        var waiting = 0
        for step in 0..<20_000 {
            let lane = "\(Int.random(in: 0..<6, using: &random))"
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1: if queue.append("\(lane):\(step)", lane: lane) { waiting += 1 }
            case 2:
                if let next = queue.next() {
                    running.append(String(next.prefix(1)))
                    waiting -= 1
                }
            default:
                if let index = running.indices.randomElement(using: &random) {
                    queue.finished(lane: running.remove(at: index))
                } else {
                    waiting -= queue.remove(lane: lane) { _ in true }.count
                }
            }
            #expect(queue.running == running.count && queue.waiting == waiting)
            #expect(running.count <= 7 && Dictionary(grouping: running) { $0 }.values.allSatisfy { $0.count <= 2 })
        }
        // Nothing is forgotten: all that waits runs in the end.
        while waiting > 0 {
            while queue.next() != nil { waiting -= 1 }
            for lane in 0..<6 { for _ in 0..<2 { queue.finished(lane: "\(lane)") } }
        }
        #expect(queue.waiting == 0)
    }
}
