import ArgumentParser
import Foundation
import Primitives
import Proof

/// `prove kill-matrix`: real gateways die, stand still, or lose their database at every named place, and the simulator's recipients say what
/// they saw.
///
/// Every text carries a nonce. A nonce must be shown exactly once on each of its recipient's devices, over all message ids and senders; what the
/// gateway calls failed, expired or canceled must not be shown at all, and every message must settle.
struct KillMatrix: AsyncParsableCommand {
    enum Part: String, CaseIterable, ExpressibleByArgument { case random, transitions, cells, sabotage }

    static let configuration = CommandConfiguration(
        commandName: "kill-matrix", abstract: "Gateways and PostgreSQL are killed at every named place, checked at the recipients.")

    @Argument(help: "random: seeded kills at any moment. transitions: a kill right after each. cells: places × faults × nodes. sabotage.")
    var parts: [Part] = Part.allCases
    @Option(help: "random: kills while messages are being sent.")
    var kills = 50
    @Option(help: "random: messages sent meanwhile.")
    var messages = 200
    @Option(help: "random: seed of the moments of the kills.")
    var seed: UInt64 = 1
    @Flag(help: "About thirty cells and nothing else.")
    var short = false
    @Option(help: "cells: only these failpoints, comma separated.")
    var points: String?
    @Option(help: "cells: only these faults, comma separated: kill, stop, postgres.")
    var faults: String?
    @Option(help: "cells: only worlds of so many nodes: 1 or 3.")
    var nodes: Int?
    @Option(help: "cells: worlds of one node, and of three, at the same time.")
    var singles = 3
    @Option(help: .hidden)
    var triples = 2
    @Option(help: "Only these deliberate mistakes, comma separated; each must be noticed.")
    var sabotage: String?
    @Flag(help: "sabotage: the same trials without the mistakes; nobody may complain.")
    var control = false
    @Flag(help: "Prints each cell as it ends.")
    var verbose = false

    func run() async throws {
        var isClean = true
        if short {
            isClean = try await cells(Matrix.short, "short kill matrix")
        } else if let sabotage {
            isClean = try await Sabotages.run(only: sabotage, isControl: control)
        } else {
            for part in parts { isClean = try await run(part) && isClean }
        }
        if !isClean { throw ExitCode.failure }
    }

    private func run(_ part: Part) async throws -> Bool {
        switch part {
        case .random:
            let result = try await Campaign.run(kills: kills, messages: messages, seed: seed)
            say(result.table)
            return result.isClean
        case .transitions:
            let cells = Matrix.transitions.map { Cell(point: $0.point, fault: .kill, nodes: 1) }
            return try await self.cells(cells, "one kill right after each state transition")
        case .cells: return try await cells(try wantedCells(), "kill matrix")
        case .sabotage: return try await Sabotages.run(only: nil, isControl: control)
        }
    }

    private func cells(_ cells: [Cell], _ title: String) async throws -> Bool {
        let clock = ContinuousClock()
        let start = clock.now
        let isVerbose = verbose
        let matrix = Matrix(singles: singles, triples: triples) { result in
            guard isVerbose || !result.isClean else { return }
            let word = result.isClean ? "ok" : "NOT OK: \(result.problem ?? result.reckoning.complaint ?? "")"
            say("  \(padded(result.cell.description, 44)) \(aligned(tenths(result.took / .seconds(1)), 5)) s  \(word)")
        }
        let outcome = try await matrix.run(cells)
        say("\(title): \(cells.count) cells, \(Set(cells.map(\.point)).count) failpoints, \((clock.now - start).components.seconds) s")
        say(outcome.table)
        return outcome.isClean
    }

    private func wantedCells() throws -> [Cell] {
        let points = try Self.list(self.points, of: Failpoint.self)
        let faults = try Self.list(self.faults, of: Fault.self)
        let cells = Matrix.all.filter { cell in
            points?.contains(cell.point) ?? true && faults?.contains(cell.fault) ?? true && nodes.map { $0 == cell.nodes } ?? true
        }
        guard !cells.isEmpty else { throw ValidationError("no such cells") }
        return cells
    }

    private static func list<Value: RawRepresentable<String>>(_ text: String?, of type: Value.Type) throws -> [Value]? {
        try text?.split(separator: ",").map { name in
            guard let value = Value(rawValue: String(name)) else { throw ValidationError("\(name) is unknown") }
            return value
        }
    }
}
