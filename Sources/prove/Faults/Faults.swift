import ArgumentParser
import Foundation
import Proof

/// `prove faults process`: F46 to F63 of the fault catalogue; `prove faults database`: F64 to F83; `prove faults edge`: F84 to F97, F103 and F104.
/// One by one, with what was done, what had to happen, what was seen, and how long it took.
struct Faults: AsyncParsableCommand {
    enum Chapter: String, ExpressibleByArgument, CaseIterable {
        case process, database, edge

        var faults: [ProcessFault] {
            switch self {
            case .process: ProcessFault.all
            case .database: ProcessFault.database
            case .edge: ProcessFault.edge + ProcessFault.alerts + ProcessFault.listener + ProcessFault.operations
            }
        }
    }

    static let configuration = CommandConfiguration(commandName: "faults", abstract: "The fault catalogue, one by one, as a table.")

    @Argument(
        help: """
            process: processes, nodes and clocks (F46–F63). database: PostgreSQL (F64–F83). edge: webhooks (F84–F89), clients (F94–F97), keys and log \
            (F103, F104).
            """
    )
    var chapter = Chapter.process
    @Option(help: "Only these, comma separated, such as F51,F54.")
    var only: String?

    func run() async throws {
        let names = only.map { Set($0.split(separator: ",").map(String.init)) }
        var failed: [String] = []
        say("fault  ok   injected how → expected → seen")
        for fault in chapter.faults where names?.contains(fault.name) ?? true {
            let seen: ProcessFault.Seen
            let start = ContinuousClock.now
            do { seen = try await fault.trial() } catch { seen = ProcessFault.Seen(isOK: false, what: "could not be carried through: \(error)") }
            if !seen.isOK { failed.append(fault.name) }
            let took = Int((ContinuousClock.now - start) / .seconds(1))
            say("\(fault.name)    \(seen.isOK ? "ok " : "NO ")  \(fault.injected)\n            → \(fault.expected)\n            → \(seen.what)")
            say("            \(took) s")
        }
        say(failed.isEmpty ? "faults \(chapter.rawValue): all ok" : "faults \(chapter.rawValue): NOT ok: \(failed.joined(separator: " "))")
        if !failed.isEmpty { throw ExitCode.failure }
    }
}

/// One row of reliability.md §3.2 to §3.4.
struct ProcessFault: Sendable {
    struct Seen: Sendable {
        var isOK: Bool
        var what: String
    }

    var name: String
    var injected: String
    var expected: String
    var trial: @Sendable () async throws -> Seen

    static let all: [ProcessFault] = deaths + standstills + starvations + clocks + versions

    /// Runs `body` in a world of its own and adds the last look at it.
    static func inWorld(
        nodes: Int = 3, senders: Int = 3, settings: [String: String] = [:], within limit: Duration = .seconds(60),
        plan change: (inout World.Plan) -> Void = { _ in }, _ body: @escaping @Sendable (World) async throws -> Seen
    ) async throws -> Seen {
        var plan = World.Plan()
        plan.nodes = nodes
        plan.senders = senders
        plan.settings = settings
        change(&plan)
        return try await World.with(plan) { world in
            var seen = try await body(world)
            let end = try await world.reckonAtTheEnd(within: limit)
            seen.what +=
                "; \(end.ok + end.recovered) messages shown once, lost \(end.lost.count), twice \(end.shownTwice.count), stuck \(end.stuck.count)"
            if let complaint = end.complaint { seen.what += " (\(complaint))" }
            seen.isOK = seen.isOK && end.isClean
            return (seen, seen.isOK)
        }
    }

    static func cells(_ cells: [Cell]) async throws -> Seen {
        let outcome = try await Matrix(singles: 2, triples: 2).run(cells)
        var sum = Reckoning()
        for result in outcome.results { sum.add(result.reckoning) }
        let bad = outcome.results.first { !$0.isClean }
        return Seen(
            isOK: outcome.isClean,
            what:
                "\(outcome.results.count) cells: ok \(sum.ok), recovered \(sum.recovered), lost \(sum.lost.count), shown twice \(sum.shownTwice.count), "
                + "unexpected \(sum.unexpected.count), stuck \(sum.stuck.count)"
                + (bad.map { "; \($0.cell): \($0.problem ?? $0.reckoning.complaint ?? "")" } ?? ""))
    }
}
