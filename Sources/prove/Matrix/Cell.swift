import Foundation
import Glibc
import Primitives
import Proof

/// What happens at a failpoint.
enum Fault: String, CaseIterable, Sendable {
    /// kill -9 of the process that came by.
    case kill
    /// That process stands still for longer than its leases last, then goes on.
    case stop
    /// kill -9 of PostgreSQL while that process stands still; then both go on.
    case postgres

    var title: String {
        switch self {
        case .kill: "kill -9"
        case .stop: "stop \(Self.standstill)"
        case .postgres: "PostgreSQL kill -9"
        }
    }

    /// Leases of the proofs last 3 s.
    static let standstill: Duration = .seconds(5)
}

/// One failpoint, one fault, in a world of so many nodes.
struct Cell: Sendable, CustomStringConvertible {
    let point: Failpoint
    let fault: Fault
    let nodes: Int

    var description: String { "\(point.rawValue) × \(fault.rawValue) × \(nodes)" }
}

/// What came of a cell.
struct CellResult: Sendable {
    var cell: Cell
    var reckoning = Reckoning()
    /// Why the cell could not be carried through; nil: it was.
    var problem: String?
    var took: Duration = .zero
    /// How often the recipients' side saw a copy again that it had shown already.
    var isClean: Bool { problem == nil && reckoning.isClean }
}

extension World {
    /// Drives the gateways to the place, lets the fault happen there, and reckons when everything has ended.
    func run(_ cell: Cell) async -> CellResult {
        let clock = ContinuousClock()
        let start = clock.now
        var result = CellResult(cell: cell)
        do {
            result.reckoning = try await carryOut(cell)
        } catch {
            result.problem = "\(error)"
        }
        disarm()
        do { try await startAll() } catch { result.problem = result.problem ?? "\(error)" }
        result.took = clock.now - start
        return result
    }

    private func carryOut(_ cell: Cell) async throws -> Reckoning {
        let drive = Drive.toward(cell.point)
        var run = DriveRun(drive, in: self)
        try await run.prepare()
        try arm("\(cell.point.rawValue):\(cell.fault == .kill ? "kill" : "stop")")
        let prepared = run
        let processes = nodes.compactMap(\.processID)
        async let driven: Void = prepared.go()
        var standstill: [String] = []
        if let process = try await waitForHit(within: .seconds(40)) {
            standstill = try await happen(cell.fault, at: process)
            // Nobody else can finish what a lone gateway has left.
            if processes == [process], case .kill = cell.fault { try await repair(after: drive) }
        } else {
            disarm()
            try await driven
            throw ProofFailure("the place was never reached")
        }
        try await driven
        if nodes.count == 1 { try await startAll() }
        var reckoning = try await reckon(run.nonces.all, within: .seconds(75), hurrying: drive.isSlow)
        reckoning.violations += standstill
        return reckoning
    }

    /// A drive that starts the node itself must not find it started.
    private func repair(after drive: Drive) async throws {
        if case .bounce = drive { return }
        _ = try await nodes[0].waitForDeath(timeout: .seconds(10))
        try await startAll()
    }

    /// A process that is told to go on before it stands would stand for ever.
    private func waitForStandstill(of process: Int32) async throws {
        for _ in 0..<500 {
            let stat = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
            if stat.isEmpty || stat.contains(") T ") { return }
            try await ContinuousClock().sleep(for: .milliseconds(5))
        }
    }

    /// Gives what was wrong while the process stood still.
    private func happen(_ fault: Fault, at process: Int32) async throws -> [String] {
        if fault != .kill { try await waitForStandstill(of: process) }
        switch fault {
        case .kill: return []
        case .stop:
            let wrong: [String]
            do {
                try await ContinuousClock().sleep(for: .milliseconds(300))
                wrong = nodes.count == 1 ? try await bytesWithoutPreWire() : []
                try await ContinuousClock().sleep(for: Fault.standstill - .milliseconds(300))
            } catch {
                Glibc.kill(process, SIGCONT)
                throw error
            }
            Glibc.kill(process, SIGCONT)
            return wrong
        case .postgres:
            do { try database.kill() } catch {
                Glibc.kill(process, SIGCONT)
                throw error
            }
            Glibc.kill(process, SIGCONT)
            try await database.restart()
            return []
        }
    }
}
