import Foundation
import OutboundHTTP
import Proof

/// The client of all outgoing HTTP against the bare echo: POSTs over connections that are kept, by as many callers as one host may have.
struct OutboundBenchmark {
    private static let callers = 8

    let bench: Workbench

    func run(into table: inout Table) async throws {
        guard let loopback = IPNetwork("127.0.0.0/8") else { throw BenchmarkFailure("loopback is no network") }
        bench.say("outgoing: \(Self.callers) callers")
        let load = try await bench.withEcho { port in
            let policy = EgressPolicy.allowing(networks: [loopback], schemes: [.http])
            let client = try HTTPClient(HTTPClient.Configuration(policy: policy, userAgent: "gateway-bench"))
            let message = #"{"to":"+6281210000010","type":"text","text":{"body":"warm"},"reference":"warm","metadata":{}}"#
            let request = try OutboundRequest(
                .post, "http://127.0.0.1:\(port)/v1/messages", headers: ["Content-Type": "application/json"], body: Array(message.utf8))
            do {
                let load = try await measure(client, request)
                await client.close(within: .seconds(1))
                return load
            } catch {
                await client.close(within: .zero)
                throw error
            }
        }
        table.add("outgoing HTTP to the bare echo, \(Self.callers) callers", load)
        table.add("  requests that failed", Double(load.failed), "", target: "outgoing-failures", .atMost(0))
        table.add("  answered", load.perSecond, "per second", target: "outgoing", .atLeast(2_000))
    }

    private func measure(_ client: HTTPClient, _ request: OutboundRequest) async throws -> Load {
        let start = ContinuousClock.now
        let end = start + .seconds(bench.plan.loadSeconds)
        let (times, failed) = try await withThrowingTaskGroup(of: ([Duration], Int).self) { group in
            for _ in 0..<Self.callers {
                group.addTask {
                    var times: [Duration] = []
                    var failed = 0
                    while ContinuousClock.now < end {
                        let began = ContinuousClock.now
                        let response = try await client.send(request)
                        if response.status == 202 { times.append(ContinuousClock.now - began) } else { failed += 1 }
                    }
                    return (times, failed)
                }
            }
            var times: [Duration] = []
            var failed = 0
            for try await (some, few) in group {
                times += some
                failed += few
            }
            return (times, failed)
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let sorted = times.sorted()
        func at(_ share: Double) -> Double {
            sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] / .milliseconds(1)
        }
        return Load(perSecond: Double(times.count) / seconds, p50: at(0.5), p99: at(0.99), unanswered: failed)
    }
}
