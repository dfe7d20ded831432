import Foundation
import Proof
import Simulator
import Synchronization

extension World {
    /// Posts messages at a steady rate to all nodes while `body` runs. A message that no node takes within a minute ends the proof.
    /// - Parameter patience: how long one try may take, in seconds.
    func underLoad<Result: Sendable>(
        perSecond: Int, patience: Double = 2, lanes most: Int = 32, _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        let end = Ending()
        let lanes = min(most, max(4, perSecond / 4))
        var caller = Caller(self)
        caller.patience = patience
        let client = caller
        return try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    let clock = ContinuousClock()
                    var next = clock.now.advanced(by: .seconds(Double(lane) / Double(perSecond)))
                    while !end.isSet {
                        try await clock.sleep(until: next)
                        next = max(next, clock.now - .seconds(1)).advanced(by: .seconds(Double(lanes) / Double(perSecond)))
                        try await client.post(self.anyRecipient())
                    }
                }
            }
            do {
                let result = try await body()
                end.set()
                try await group.waitForAll()
                return result
            } catch {
                end.set()
                group.cancelAll()
                throw error
            }
        }
    }

    /// Watches which senders are logged in while `body` runs: for each that was away, how long after `start` it was back. Ends when all of them
    /// are, or throws after `limit`.
    func comebacks(within limit: Duration, after body: () async throws -> Void) async throws -> [Duration] {
        let clock = ContinuousClock()
        let before = activeNumbers
        let start = clock.now
        try await body()
        var away: Set<String> = []
        var back: [String: Duration] = [:]
        // Those of a process that ends politely go one after the other.
        while clock.now - start < .milliseconds(1_500) || !away.isEmpty {
            let active = activeNumbers
            for number in before where !active.contains(number) && back[number] == nil { away.insert(number) }
            for number in away where active.contains(number) {
                away.remove(number)
                back[number] = clock.now - start
            }
            guard clock.now - start < limit else { throw ProofFailure("\(away.count) senders were not back within \(limit)") }
            try await clock.sleep(for: .milliseconds(15))
        }
        return back.values.sorted()
    }

    private var activeNumbers: Set<String> {
        Set(simulator.phones.filter { $0.linkedDevices.contains { $0.isConnected && $0.isActive } }.map(\.number))
    }
}

/// `p50 1.2 s, p99 3.4 s, max 3.5 s`
func percentiles(_ times: [Duration]) -> String {
    guard let last = times.last else { return "none" }
    func at(_ share: Double) -> String { tenths(times[min(times.count - 1, Int(Double(times.count) * share))] / .seconds(1)) }
    return "p50 \(at(0.5)) s, p99 \(at(0.99)) s, max \(tenths(last / .seconds(1))) s"
}

/// Set once, by anybody.
final class Ending: Sendable {
    private let value = Mutex(false)

    var isSet: Bool { value.withLock { $0 } }

    func set() { value.withLock { $0 = true } }
}
