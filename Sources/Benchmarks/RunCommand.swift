import ArgumentParser
import Foundation
import Logging
import Primitives
import ServiceLifecycle

/// `Benchmarks run`: everything in one run, one table.
struct RunCommand: AsyncParsableCommand {
    enum Part: String, CaseIterable, ExpressibleByArgument, Sendable { case routing, wire, outgoing, accept, delivery, fairness, idle }

    static let configuration = CommandConfiguration(commandName: "run", abstract: "Measures everything and prints one table.")

    @Flag(help: "Exit 1 when a target of design.md §11 is missed that the exceptions do not list.")
    var check = false
    @Flag(help: "Shorten everything; the figures are rough.")
    var quick = false
    @Option(help: "Only this part; may be repeated.")
    var only: [Part] = []
    @Option(help: "The gateway's program; default: beside this one.")
    var gateway: String?
    @Option(help: "What wrk sends.")
    var script = "Scripts/bench.lua"
    @Flag(help: "Also print where PostgreSQL's time went, by statement.")
    var statements = false
    @Option(help: "Known misses: lines of name, date, reason.")
    var exceptions = "Scripts/bench-exceptions.txt"

    func run() async throws {
        let exceptions = try Exceptions(file: exceptions)
        var logger = Logger(label: "benchmarks")
        logger.logLevel = .error
        let folder = "/var/tmp/gateway-bench-\(Hex.encode(SystemRandom().bytes(4)))"
        // Not in /tmp, which may be memory, where a commit costs nothing. Searchable by others: as root the embedded PostgreSQL runs as another user. What lies inside is closed.
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o711])
        let gateway = gateway ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/gateway"
        let suite = Suite(
            bench: Workbench(
                plan: quick ? .quick : .full, gateway: gateway, script: script, folder: folder, logger: logger, countsStatements: statements),
            parts: only.isEmpty ? Part.allCases : only)
        // SIGINT and SIGTERM cancel the run; all children are stopped on the way out.
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: suite, successTerminationBehavior: .gracefullyShutdownGroup, failureTerminationBehavior: .gracefullyShutdownGroup)
                ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        )
        do { try await group.run() } catch is CancellationError {}

        let failures = await suite.failures
        guard let table = await suite.table else { throw BenchmarkFailure("stopped; logs are in \(folder)") }
        if failures.isEmpty { try FileManager.default.removeItem(atPath: folder) }
        print(Self.machine)
        if quick { print("A quick run: rough figures.") }
        print(table.text(exceptions: exceptions))
        let missed = table.missed
        for name in exceptions.entries.keys.sorted() where !missed.contains(name) && only.isEmpty {
            print("note: the exception '\(name)' was not needed in this run")
        }
        for name in missed { if let entry = exceptions.entries[name] { print("excepted: \(name), \(entry.date): \(entry.reason)") } }
        guard failures.isEmpty else { throw BenchmarkFailure(failures.joined(separator: "\n") + "\nLogs are in \(folder).") }
        if check && missed.contains(where: { exceptions.entries[$0] == nil }) { throw ExitCode.failure }
    }

    private static var machine: String {
        let model = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n").first { $0.hasPrefix("model name") }
        let name = model?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
        return "\(ProcessInfo.processInfo.processorCount) cores, \(name). Gateway, PostgreSQL, simulator and load generators share them."
    }
}

/// The parts one after the other, until they are done or a signal comes.
private actor Suite: Service {
    private let bench: Workbench
    private let parts: [RunCommand.Part]
    /// Once everything is measured.
    private(set) var table: Table?
    /// Parts that could not be measured, and why.
    private(set) var failures: [String] = []

    init(bench: Workbench, parts: [RunCommand.Part]) {
        self.bench = bench
        self.parts = parts
    }

    func run() async throws {
        (table, failures) = try await cancelWhenGracefulShutdown { [bench, parts] in
            var table = Table()
            var failures: [String] = []
            for part in RunCommand.Part.allCases where parts.contains(part) {
                do {
                    switch part {
                    case .routing: try RoutingBenchmark(bench: bench).run(into: &table)
                    case .wire: try WireBenchmark(bench: bench).run(into: &table)
                    case .outgoing: try await OutboundBenchmark(bench: bench).run(into: &table)
                    case .accept: try await AcceptBenchmark(bench: bench).run(into: &table)
                    case .delivery: try await EndToEndBenchmark(bench: bench).run(into: &table)
                    case .fairness: try await FairnessBenchmark(bench: bench).run(into: &table)
                    case .idle: try await IdleBenchmark(bench: bench).run(into: &table)
                    }
                } catch {
                    // The other parts are worth having.
                    try Task.checkCancellation()
                    bench.say("\(part.rawValue) failed: \(error)")
                    failures.append("\(part.rawValue): \(error)")
                }
            }
            return (table, failures)
        }
    }
}
