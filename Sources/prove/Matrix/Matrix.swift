import Foundation
import Primitives
import Synchronization

/// Cells in their worlds, several worlds at a time, and the table of what came of them.
struct Matrix: Sendable {
    /// Worlds of one node and of three that stand at the same time.
    var singles = 3
    var triples = 2
    /// Called with each result as it comes.
    var progress: @Sendable (CellResult) -> Void = { _ in }

    /// Every place, every fault, on 1 and 3 nodes.
    static var all: [Cell] {
        [1, 3].flatMap { nodes in Failpoint.allCases.flatMap { point in Fault.allCases.map { Cell(point: point, fault: $0, nodes: nodes) } } }
    }

    /// One kill right after each state transition.
    static let transitions: [(name: String, point: Failpoint)] = [
        ("accepted", .accepted), ("scheduled → accepted", .promoted), ("prepared", .prepared), ("back to accepted", .leaseAcquired),
        ("on_wire", .onWire), ("refused → accepted, failed", .refused), ("sent", .sent), ("delivered", .delivered), ("read", .read),
        ("expired", .expired), ("canceled", .canceled), ("unconfirmed", .unconfirmed),
    ]

    /// What fits into a minute and a half: each transition killed on one node, and the places around the wire under the other faults and on three.
    static var short: [Cell] {
        transitions.map { Cell(point: $0.point, fault: .kill, nodes: 1) }
            + [.encrypted, .onWire, .written, .acknowledged].map { Cell(point: $0, fault: .stop, nodes: 3) }
            + [.accepted, .prepared, .written, .sent, .paired].map { Cell(point: $0, fault: .kill, nodes: 3) }
            + [.acceptBegin, .preWireBegin, .written, .acknowledged, .delivered].map { Cell(point: $0, fault: .postgres, nodes: 1) }
            + [.claimBegin, .receiptRead, .leaseRenewBegin, .purgeBegin].map { Cell(point: $0, fault: .stop, nodes: 1) }
    }

    func run(_ cells: [Cell]) async throws -> Outcome {
        let collected = Collected()
        let singleCells = Queue(cells.filter { $0.nodes == 1 })
        let tripleCells = Queue(cells.filter { $0.nodes == 3 })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (queue, count, nodes) in [(singleCells, singles, 1), (tripleCells, triples, 3)] {
                for _ in 0..<min(count, queue.count) {
                    group.addTask {
                        var plan = World.Plan()
                        plan.nodes = nodes
                        try await World.with(plan) { world in
                            var isClean = true
                            while let cell = queue.next() {
                                let result = await world.run(cell)
                                isClean = isClean && result.isClean
                                collected.change { $0.results.append(result) }
                                progress(result)
                            }
                            let last = try await world.reckonAtTheEnd()
                            collected.change { $0.ends.append(last) }
                            return ((), isClean && last.isClean)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        return collected.outcome
    }

    /// Cells still to be done.
    private final class Queue: Sendable {
        private let cells: Mutex<[Cell]>
        let count: Int

        init(_ cells: [Cell]) {
            count = cells.count
            self.cells = Mutex(cells.reversed())
        }

        func next() -> Cell? { cells.withLock { $0.popLast() } }
    }

    private final class Collected: Sendable {
        private let value = Mutex(Outcome())

        var outcome: Outcome { value.withLock { $0 } }

        func change(_ change: @Sendable (inout Outcome) -> Void) { value.withLock { change(&$0) } }
    }

    struct Outcome: Sendable {
        var results: [CellResult] = []
        /// The last look at each world, over everything that ever happened in it.
        var ends: [Reckoning] = []

        var isClean: Bool { results.allSatisfy(\.isClean) && ends.allSatisfy(\.isClean) && !results.isEmpty }

        var table: String {
            var lines = ["cells                        count     ok  recovered   lost  shown twice  unexpected  stuck  violations  not carried out"]
            for nodes in [1, 3] {
                for fault in Fault.allCases {
                    let some = results.filter { $0.cell.nodes == nodes && $0.cell.fault == fault }
                    if !some.isEmpty { lines.append(Self.line("\(fault.title), \(nodes) node\(nodes == 1 ? "" : "s")", some)) }
                }
            }
            lines.append(Self.line("all", results))
            var last = Reckoning()
            for end in ends { last.add(end) }
            lines.append(
                "at the end of \(ends.count) worlds: \(last.ok + last.recovered) messages as they should be, lost \(last.lost.count), shown twice "
                    + "\(last.shownTwice.count), unexpected \(last.unexpected.count), stuck \(last.stuck.count), violations \(last.violations.count)")
            let places = Set(results.filter { $0.problem == nil }.map(\.cell.point)).count
            let time = results.map { $0.took / .seconds(1) }.sorted()
            if let middle = time.dropFirst(time.count / 2).first {
                lines.append("failpoints reached \(places); a cell took \(tenths(middle)) s in the middle, \(tenths(time.last ?? 0)) s at most")
            }
            for result in results where !result.isClean {
                lines.append("  \(result.cell): \(result.problem ?? result.reckoning.complaint ?? "")")
            }
            for complaint in ends.compactMap(\.complaint) { lines.append("  at the end: \(complaint)") }
            return lines.joined(separator: "\n")
        }

        private static func line(_ title: String, _ results: [CellResult]) -> String {
            var sum = Reckoning()
            for result in results { sum.add(result.reckoning) }
            let numbers: [(Int, Int)] = [
                (results.count, 6), (sum.ok, 7), (sum.recovered, 11), (sum.lost.count, 7), (sum.shownTwice.count, 13), (sum.unexpected.count, 12),
                (sum.stuck.count, 7), (sum.violations.count, 12), (results.count { $0.problem != nil }, 17),
            ]
            return padded(title, 28) + numbers.map { number, width in aligned("\(number)", width) }.joined()
        }
    }
}

/// Prints at once, also into a file.
func say(_ text: String) {
    print(text)
    fflush(nil)
}

/// `text` filled with blanks up to a width.
func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
func aligned(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
func tenths(_ seconds: Double) -> String { "\((seconds * 10).rounded() / 10)" }
