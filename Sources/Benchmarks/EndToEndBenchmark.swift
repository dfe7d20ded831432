import Glibc
import NIOHTTP1
import Postgres
import Proof
import Simulator

/// Messages from `POST /v1/messages` until every device of their recipients has shown them, over 1, 10 and 100 senders of one gateway.
///
/// The simulator runs in this process on the same machine, so its decryption competes with the gateway. Every sender has written to each of
/// its recipients before, so that Signal sessions, contacts and device lists are there.
struct EndToEndBenchmark {
    static let devices = 4
    private static let recipients = 40
    /// Recipients that one sender writes to in turn.
    private static let circle = 5
    private static let connections = 32

    private struct Stage: Sendable {
        var senders: Int
        /// Messages that every device of their recipient has shown.
        var delivered: Int
        var isComplete: Bool
        var perSecond: Double
        var gatewayMilliseconds: Double
        var databaseMilliseconds: Double
        /// Of this process: the simulator, which decrypts every copy, and the load generator.
        var simulatorMilliseconds: Double
        /// Of all databases, from accept to the last receipt.
        var commits: Double
    }

    private struct Results: Sendable {
        var stages: [Stage] = []
        /// Milliseconds from the 202 to the stanza's arrival, ascending.
        var idle: [Double] = []
        /// Of one durable single-row commit on the same cluster, in milliseconds.
        var commit = 0.0
    }

    let bench: Workbench

    func run(into table: inout Table) async throws {
        let results = try await bench.withSimulator { simulator in
            for recipient in 0..<Self.recipients { try simulator.addRecipient(Self.number(recipient), devices: Self.devices) }
            let gateway = try bench.makeGateway("delivery", simulator: simulator)
            return try await bench.withCluster(gateway) { cluster in
                let key = try await gateway.makeTestKey(account: "Benchmark")
                return try await gateway.serve { process, _ in
                    let count = bench.plan.messages.keys.max() ?? 0
                    bench.say("delivering: pairing \(count) senders")
                    let senders = try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(count)
                    let database = Database(
                        Database.Configuration(url: cluster.connectionString(), connections: 1, name: "bench"), logger: bench.logger)
                    let course = Course(
                        port: gateway.port, key: key, simulator: simulator, process: process, cluster: cluster.processID ?? 0, database: database)
                    bench.say("delivering: first messages, \(senders.count * Self.circle)")
                    guard try await measure("warm", senders, messages: senders.count * Self.circle, course).isComplete else {
                        throw BenchmarkFailure("the first messages were not all delivered")
                    }
                    var results = Results()
                    results.commit = try await commitTime(cluster, database)
                    results.idle = try await idleLatencies(senders[0], course)
                    for (count, messages) in bench.plan.messages.sorted(by: { $0.key < $1.key }) {
                        bench.say("delivering: \(messages) messages over \(count == 1 ? "1 sender" : "\(count) senders")")
                        try await resetStatements(database)
                        results.stages.append(try await measure("stage\(count)", Array(senders.prefix(count)), messages: messages, course))
                        try await sayStatements(database, messages: results.stages.last?.delivered ?? 1)
                        // What is left over would count in the next one.
                        if results.stages.last?.isComplete == false { break }
                    }
                    await database.close()
                    return results
                }
            }
        }
        let idle = results.idle
        table.add("idle sender, accepted to first byte on the wire, p50", idle[idle.count / 2], "ms")
        table.add(
            "  in single-row commits of \(Table.number(results.commit)) ms", idle[idle.count / 2] / results.commit, "", target: "idle-wire",
            .atMost(3))
        table.add("  p95", idle[idle.count * 95 / 100], "ms", target: "idle-wire-p95", .atMost(25))
        for stage in results.stages {
            let suffix = stage.senders == 1 ? "1 sender" : "\(stage.senders) senders"
            table.add(
                "accepted to shown on \(Self.devices) devices, \(suffix)", stage.perSecond, "messages/s",
                target: stage.senders == 100 ? "wire-100" : nil,
                .atLeast(1_500))
            table.add("  CPU per message, gateway", stage.gatewayMilliseconds, "ms")
            table.add("  CPU per message, PostgreSQL", stage.databaseMilliseconds, "ms")
            table.add("  CPU per message, simulator and load generator", stage.simulatorMilliseconds, "ms")
            // Under load commits are shared; a lone sender's are its own (design.md §11).
            let isLoaded = stage.senders == 100
            table.add(
                "  commits per message", stage.commits, "", target: isLoaded ? "commits" : stage.senders == 1 ? "commits-worst" : nil,
                .atMost(isLoaded ? 0.2 : 2.2))
        }
    }

    /// Where the messages go and whose CPU time counts.
    struct Course: Sendable {
        var port: Int
        var key: String
        var simulator: WhatsAppSimulator
        var process: Int32
        var cluster: Int32
        var database: Database
    }

    private func measure(_ name: String, _ senders: [String], messages: Int, _ course: Course) async throws -> Stage {
        let simulator = course.simulator
        let counters = simulator.counters
        let sequence = simulator.received(limit: .max).last?.sequence ?? 0
        let gatewayBefore = try ProcessFigures(course.process).cpuSeconds
        let databaseBefore = try ProcessFigures.cpuSeconds(ofFamily: course.cluster)
        let simulatorBefore = try ProcessFigures(getpid()).cpuSeconds
        let commitsBefore = try await commits(course.database)
        let clock = ContinuousClock()
        let start = clock.now
        // One copy for each device of the recipient and one for the sender's own phone.
        let expected = counters.shown + messages * (Self.devices + 1)
        let end = try await withThrowingTaskGroup(of: ContinuousClock.Instant?.self) { group in
            for lane in 0..<Self.connections {
                group.addTask {
                    try await post(name, senders, lane: lane, messages: messages, course)
                    return nil
                }
            }
            group.addTask { try await lastShown(simulator, expected: expected) }
            var end: ContinuousClock.Instant?
            for try await instant in group { end = instant ?? end }
            return end ?? clock.now
        }
        let gatewayAfter = try ProcessFigures(course.process).cpuSeconds
        let databaseAfter = try ProcessFigures.cpuSeconds(ofFamily: course.cluster)
        let simulatorAfter = try ProcessFigures(getpid()).cpuSeconds
        let commitsAfter = try await commits(course.database)
        guard simulator.counters.duplicates == counters.duplicates else { throw BenchmarkFailure("\(name): copies were shown twice") }
        let shown = simulator.received(after: sequence, limit: .max).count { !$0.isOwnCopy && $0.shown > 0 }
        let delivered = shown / Self.devices
        guard delivered > 0 else { throw BenchmarkFailure("\(name): nothing was delivered") }
        let count = Double(delivered)
        return Stage(
            senders: senders.count, delivered: delivered, isComplete: shown == messages * Self.devices,
            perSecond: count / (start.duration(to: end) / .seconds(1)),
            gatewayMilliseconds: (gatewayAfter - gatewayBefore) * 1_000 / count,
            databaseMilliseconds: (databaseAfter - databaseBefore) * 1_000 / count,
            simulatorMilliseconds: (simulatorAfter - simulatorBefore) * 1_000 / count, commits: Double(commitsAfter - commitsBefore) / count)
    }

    /// Posts every `connections`-th message, beginning with `lane`: in turn over the senders, and each sender in turn to its recipients.
    private func post(_ name: String, _ senders: [String], lane: Int, messages: Int, _ course: Course) async throws {
        try await HTTPConnection.with(port: course.port, key: course.key) { connection in
            for index in stride(from: lane, to: messages, by: Self.connections) {
                let sender = index % senders.count
                let recipient = (sender * Self.circle + index / senders.count % Self.circle) % Self.recipients
                let nonce = "\(name)-\(index)"
                let json = """
                    {"to":"+\(Self.number(recipient))","type":"text","text":{"body":"\(nonce) \(Self.text)"},"route":{"sender":"\(senders[sender])"},\
                    "reference":"\(nonce)"}
                    """
                // Too busy for a moment is no failure of the run; it costs time, which is measured.
                var status: Int
                var tries = 0
                repeat {
                    if tries > 0 { try await ContinuousClock().sleep(for: .milliseconds(250)) }
                    status = try await connection.send(.POST, "/v1/messages", idempotencyKey: nonce, json: json).status
                    tries += 1
                } while (status == 429 || status == 503) && tries < 40
                guard status == 202 else { throw BenchmarkFailure("a message was not accepted: \(status)") }
            }
        }
    }

    /// When the last copy was shown. Gives up after the plan's time, or when nothing has moved for 20 seconds.
    private func lastShown(_ simulator: WhatsAppSimulator, expected: Int) async throws -> ContinuousClock.Instant {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(bench.plan.deliverySeconds))
        var last = (count: simulator.counters.shown, at: clock.now)
        while last.count < expected {
            try await clock.sleep(for: .milliseconds(5))
            let count = simulator.counters.shown
            if count != last.count { last = (count, clock.now) }
            if clock.now > end || last.at.duration(to: clock.now) > .seconds(20) { break }
        }
        return last.at
    }

    private static let text = String(repeating: "Your order is on its way. ", count: 6)

    /// None of the simulator's special numbers.
    static func number(_ recipient: Int) -> String { "62813\(10_000_010 + recipient * 100)" }
}
