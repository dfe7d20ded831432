import NIOHTTP1
import Proof
import Simulator

/// Messages from `POST /v1/messages` until every device of their recipients has shown them, over 1, 10 and 100 senders of one gateway.
///
/// The simulator runs in this process on the same machine, so its decryption competes with the gateway. Every sender has written to each of
/// its recipients before, so that Signal sessions, contacts and device lists are there.
struct EndToEndBenchmark {
    private static let devices = 4
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
    }

    let bench: Workbench

    func run(into table: inout Table) async throws {
        let stages = try await bench.withSimulator { simulator in
            for recipient in 0..<Self.recipients { try simulator.addRecipient(Self.number(recipient), devices: Self.devices) }
            let gateway = try bench.makeGateway("delivery", simulator: simulator)
            return try await bench.withCluster(gateway) { cluster in
                let key = try await gateway.makeTestKey(account: "Benchmark")
                return try await gateway.serve { process, _ in
                    let count = bench.plan.messages.keys.max() ?? 0
                    bench.say("delivering: pairing \(count) senders")
                    let senders = try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(count)
                    let course = Course(
                        port: gateway.port, key: key, simulator: simulator, process: process, cluster: cluster.processID ?? 0)
                    bench.say("delivering: first messages, \(senders.count * Self.circle)")
                    guard try await measure("warm", senders, messages: senders.count * Self.circle, course).isComplete else {
                        throw BenchmarkFailure("the first messages were not all delivered")
                    }
                    var stages: [Stage] = []
                    for (count, messages) in bench.plan.messages.sorted(by: { $0.key < $1.key }) {
                        bench.say("delivering: \(messages) messages over \(count == 1 ? "1 sender" : "\(count) senders")")
                        stages.append(try await measure("stage\(count)", Array(senders.prefix(count)), messages: messages, course))
                        // What is left over would count in the next one.
                        if stages.last?.isComplete == false { break }
                    }
                    return stages
                }
            }
        }
        for stage in stages {
            let suffix = stage.senders == 1 ? "1 sender" : "\(stage.senders) senders"
            table.add(
                "accepted to shown on \(Self.devices) devices, \(suffix)", stage.perSecond, "messages/s",
                target: stage.senders == 100 ? "wire-100" : nil,
                .atLeast(1_500))
            table.add("  CPU per message, gateway", stage.gatewayMilliseconds, "ms")
            table.add("  CPU per message, PostgreSQL", stage.databaseMilliseconds, "ms")
        }
    }

    /// Where the messages go and whose CPU time counts.
    private struct Course: Sendable {
        var port: Int
        var key: String
        var simulator: WhatsAppSimulator
        var process: Int32
        var cluster: Int32
    }

    private func measure(_ name: String, _ senders: [String], messages: Int, _ course: Course) async throws -> Stage {
        let simulator = course.simulator
        let counters = simulator.counters
        let sequence = simulator.received(limit: .max).last?.sequence ?? 0
        let gatewayBefore = try ProcessFigures(course.process).cpuSeconds
        let databaseBefore = try ProcessFigures.cpuSeconds(ofFamily: course.cluster)
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
        guard simulator.counters.duplicates == counters.duplicates else { throw BenchmarkFailure("\(name): copies were shown twice") }
        let shown = simulator.received(after: sequence, limit: .max).count { !$0.isOwnCopy && $0.shown > 0 }
        let delivered = shown / Self.devices
        guard delivered > 0 else { throw BenchmarkFailure("\(name): nothing was delivered") }
        let count = Double(delivered)
        return Stage(
            senders: senders.count, delivered: delivered, isComplete: shown == messages * Self.devices,
            perSecond: count / (start.duration(to: end) / .seconds(1)),
            gatewayMilliseconds: (try ProcessFigures(course.process).cpuSeconds - gatewayBefore) * 1_000 / count,
            databaseMilliseconds: (try ProcessFigures.cpuSeconds(ofFamily: course.cluster) - databaseBefore) * 1_000 / count)
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
    private static func number(_ recipient: Int) -> String { "62813\(10_000_010 + recipient * 100)" }
}
