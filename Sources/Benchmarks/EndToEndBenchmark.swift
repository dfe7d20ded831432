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
    /// Messages of one request, and connections, where many are posted at once.
    private static let batch = 100
    private static let batchConnections = 4

    private struct Stage: Sendable {
        var senders: Int
        var isBatched: Bool
        /// Messages that every device of their recipient has shown.
        var delivered: Int
        var isComplete: Bool
        var perSecond: Double
        var gatewayMilliseconds: Double
        var databaseMilliseconds: Double
        /// Of this process: the simulator, which decrypts every copy, and the load generator.
        var simulatorMilliseconds: Double
        /// Of all databases, from accept to the last receipt, without those of a gateway that has nothing to do.
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
                    var course = Course(
                        port: gateway.port, key: key, simulator: simulator, process: process, cluster: cluster.processID ?? 0, database: database)
                    bench.say("delivering: first messages, \(senders.count * Self.circle)")
                    guard try await measure("warm", senders, messages: senders.count * Self.circle, isBatched: false, course).isComplete else {
                        throw BenchmarkFailure("the first messages were not all delivered")
                    }
                    var results = Results()
                    results.commit = try await commitTime(cluster, database)
                    results.idle = try await idleLatencies(senders[0], course)
                    course.idleCommits = try await idleCommits(database)
                    let stages = bench.plan.messages.sorted { $0.key < $1.key }.map { ($0.key, $0.value, false) }
                    for (count, messages, isBatched) in stages + stages.suffix(1).map({ ($0.0, $0.1, true) }) {
                        bench.say(
                            "delivering: \(messages) messages over \(count == 1 ? "1 sender" : "\(count) senders")\(isBatched ? ", in batches" : "")")
                        try await resetStatements(database)
                        results.stages.append(
                            try await measure(
                                "stage\(count)\(isBatched ? "b" : "")", Array(senders.prefix(count)), messages: messages, isBatched: isBatched, course
                            ))
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
            // The wire is measured, not the way in: whoever has a thousand messages a second posts them together.
            let isLoaded = stage.senders == 100 && stage.isBatched
            let suffix = (stage.senders == 1 ? "1 sender" : "\(stage.senders) senders") + (stage.isBatched ? ", posted \(Self.batch) at a time" : "")
            table.add(
                "accepted to shown on \(Self.devices) devices, \(suffix)", stage.perSecond, "messages/s",
                target: isLoaded ? "wire-100" : nil, .atLeast(1_500))
            table.add("  CPU per message, gateway", stage.gatewayMilliseconds, "ms")
            table.add("  CPU per message, PostgreSQL", stage.databaseMilliseconds, "ms")
            table.add("  CPU per message, simulator and load generator", stage.simulatorMilliseconds, "ms")
            // Under load commits are shared; a lone sender's are its own (design.md §11).
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
        /// What a gateway without anything to do commits while one waits for PostgreSQL's counters.
        var idleCommits = 0
    }

    private func measure(_ name: String, _ senders: [String], messages: Int, isBatched: Bool, _ course: Course) async throws -> Stage {
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
            for lane in 0..<(isBatched ? Self.batchConnections : Self.connections) {
                group.addTask {
                    if isBatched {
                        try await postTogether(name, senders, lane: lane, messages: messages, course)
                    } else {
                        try await post(name, senders, lane: lane, messages: messages, course)
                    }
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
            senders: senders.count, isBatched: isBatched, delivered: delivered, isComplete: shown == messages * Self.devices,
            perSecond: count / (start.duration(to: end) / .seconds(1)),
            gatewayMilliseconds: (gatewayAfter - gatewayBefore) * 1_000 / count,
            databaseMilliseconds: (databaseAfter - databaseBefore) * 1_000 / count,
            simulatorMilliseconds: (simulatorAfter - simulatorBefore) * 1_000 / count,
            commits: Double(commitsAfter - commitsBefore - course.idleCommits) / count)
    }

    /// Posts every `connections`-th message, beginning with `lane`.
    private func post(_ name: String, _ senders: [String], lane: Int, messages: Int, _ course: Course) async throws {
        try await HTTPConnection.with(port: course.port, key: course.key) { connection in
            for index in stride(from: lane, to: messages, by: Self.connections) {
                let message = message(name, index, senders)
                guard try await insist({ try await connection.send(.POST, "/v1/messages", idempotencyKey: "\(name)-\(index)", json: message).status })
                else {
                    throw BenchmarkFailure("a message was not accepted")
                }
            }
        }
    }

    /// Posts every `batchConnections`-th batch, beginning with `lane`.
    private func postTogether(_ name: String, _ senders: [String], lane: Int, messages: Int, _ course: Course) async throws {
        try await HTTPConnection.with(port: course.port, key: course.key) { connection in
            for start in stride(from: lane * Self.batch, to: messages, by: Self.batchConnections * Self.batch) {
                let batch = (start..<min(start + Self.batch, messages)).map { message(name, $0, senders) }
                let json = "{\"messages\":[\(batch.joined(separator: ","))]}"
                let isTaken = try await insist {
                    let answer = try await connection.send(.POST, "/v1/messages/batch", idempotencyKey: "\(name)-\(start)", json: json)
                    return answer.status
                }
                guard isTaken else { throw BenchmarkFailure("a batch was not accepted") }
            }
        }
    }

    /// In turn over the senders, and each sender in turn to its recipients.
    private func message(_ name: String, _ index: Int, _ senders: [String]) -> String {
        let sender = index % senders.count
        let recipient = (sender * Self.circle + index / senders.count % Self.circle) % Self.recipients
        return """
            {"to":"+\(Self.number(recipient))","type":"text","text":{"body":"\(name)-\(index) \(Self.text)"},"route":{"sender":"\(senders[sender])"},\
            "reference":"\(name)-\(index)"}
            """
    }

    /// Too busy for a moment is no failure of the run; it costs time, which is measured.
    private func insist(_ send: () async throws -> Int) async throws -> Bool {
        for attempt in 0..<40 {
            if attempt > 0 { try await ContinuousClock().sleep(for: .milliseconds(250)) }
            let status = try await send()
            if status == 202 { return true }
            guard status == 429 || status == 503 else { return false }
        }
        return false
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
