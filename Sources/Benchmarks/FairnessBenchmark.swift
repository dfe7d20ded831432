import Foundation
import NIOHTTP1
import Proof
import Simulator

/// What a large queue of one account costs another account (design.md §11, the fairness line): 100 messages of the second account alone, then the same
/// while the first account has 100,000 in the queue and its senders send without a pause.
///
/// Times are the gateway's own, from acceptance to the delivery receipt; everything runs on the same processors, so that whatever the large account
/// uses is missing for the small one.
struct FairnessBenchmark {
    private static let largeSenders = 10
    private static let batch = 1_000
    private static let recipients = 20
    private static let devices = 2

    let bench: Workbench

    private struct Results: Sendable {
        var alone: [Double] = []
        var beside: [Double] = []
        /// Of the large account, when the second measurement began and when it ended.
        var waiting = (0, 0)
    }

    func run(into table: inout Table) async throws {
        let results = try await bench.withSimulator { simulator in
            for recipient in 0..<Self.recipients { try simulator.addRecipient(EndToEndBenchmark.number(recipient), devices: Self.devices) }
            let gateway = try bench.makeGateway("fairness", simulator: simulator)
            return try await bench.withCluster(gateway) { _ in
                let large = try await gateway.makeTestKey(account: "Large")
                let key = try await gateway.makeTestKey(account: "Small")
                return try await gateway.serve { _, _ in
                    bench.say("fairness: pairing \(Self.largeSenders + 1) senders")
                    let largeSenders = try await Pairing(port: gateway.port, key: large, simulator: simulator).pair(Self.largeSenders)
                    let smallSender = try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(1)[0]
                    var results = Results()
                    bench.say("fairness: first messages")
                    _ = try await self.small(smallSender, "warm", port: gateway.port, key: key)
                    results.alone = try await repeated { try await self.small(smallSender, "alone-\($0)", port: gateway.port, key: key) }
                    bench.say("fairness: queueing \(bench.plan.largeQueue) messages of the other account")
                    try await queue(largeSenders, port: gateway.port, key: large)
                    results.waiting.0 = bench.plan.largeQueue - simulator.counters.messages
                    bench.say("fairness: about \(results.waiting.0) of them wait")
                    results.beside = try await repeated { try await self.small(smallSender, "beside-\($0)", port: gateway.port, key: key) }
                    results.waiting.1 = bench.plan.largeQueue - simulator.counters.messages
                    return results
                }
            }
        }
        guard results.waiting.1 > 0 else { throw BenchmarkFailure("the large queue was empty before the end") }
        let alone = Self.p95(results.alone)
        let beside = Self.p95(results.beside)
        table.add("100 messages of an account alone, accepted to delivered, p95", alone, "ms")
        table.add("  beside \(results.waiting.1) and more queued messages of another account, p95", beside, "ms")
        table.add("  beside / alone", beside / alone, "", target: "fairness", .atMost(1.2))
    }

    private static func p95(_ times: [Double]) -> Double { times.sorted()[times.count * 95 / 100] }

    /// The middle of the rounds by its 95th percentile.
    private func repeated(_ measure: (Int) async throws -> [Double]) async throws -> [Double] {
        var rounds: [[Double]] = []
        for round in 0..<bench.plan.rounds { rounds.append(try await measure(round)) }
        return rounds.sorted { Self.p95($0) < Self.p95($1) }[rounds.count / 2]
    }

    private struct Accepted: Decodable { var id: String }

    private struct Shown: Decodable {
        var created_at: String
        var delivered_at: String?
    }

    /// Sends 100 at once, waits until all are delivered, and returns the milliseconds of each.
    private func small(_ sender: String, _ name: String, port: Int, key: String) async throws -> [Double] {
        try await HTTPConnection.with(port: port, key: key) { connection in
            var ids: [String] = []
            for index in 0..<100 {
                let answer = try await connection.send(
                    .POST, "/v1/messages", idempotencyKey: "\(name)-\(index)",
                    json:
                        #"{"to":"+\#(EndToEndBenchmark.number(index % 5))","type":"text","text":{"body":"\#(name) \#(index)"},"route":{"sender":"\#(sender)"}}"#
                )
                guard answer.status == 202 else { throw BenchmarkFailure("a message was not accepted: \(answer.status)") }
                ids.append(try answer.decoded(as: Accepted.self).id)
            }
            let clock = ContinuousClock()
            let end = clock.now + .seconds(120)
            var times: [Double] = []
            for id in ids {
                while true {
                    let shown = try await connection.send(.GET, "/v1/messages/\(id)").decoded(as: Shown.self)
                    if let deliveredAt = shown.delivered_at {
                        times.append(try Self.moment(deliveredAt).timeIntervalSince(try Self.moment(shown.created_at)) * 1_000)
                        break
                    }
                    guard clock.now < end else { throw BenchmarkFailure("\(name): a message was not delivered") }
                    try await clock.sleep(for: .milliseconds(20))
                }
            }
            return times
        }
    }

    private static func moment(_ text: String) throws -> Date { try Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)) }

    private func queue(_ senders: [String], port: Int, key: String) async throws {
        let batches = bench.plan.largeQueue / Self.batch
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<2 {
                group.addTask {
                    try await HTTPConnection.with(port: port, key: key) { connection in
                        for number in stride(from: lane, to: batches, by: 2) {
                            let items = (0..<Self.batch).map { index in
                                let to = EndToEndBenchmark.number(5 + index % (Self.recipients - 5))
                                return
                                    #"{"to":"+\#(to)","type":"text","text":{"body":"large \#(number) \#(index)"},"route":{"sender":"\#(senders[index % senders.count])"}}"#
                            }
                            let json = #"{"messages":[\#(items.joined(separator: ","))]}"#
                            let answer = try await connection.send(.POST, "/v1/messages/batch", idempotencyKey: "large-\(number)", json: json)
                            guard (200..<300).contains(answer.status) else { throw BenchmarkFailure("a batch was not accepted: \(answer.status)") }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
