import Foundation
import Synchronization

/// Counts wrong API keys per address and minute; the sixth and every further request of that minute waits (design: §13.14).
/// Kept in memory only, and only for the running minute.
final class FailedKeyThrottle: Sendable {
    /// Wrong keys an address may show in a minute.
    static let limit = 5
    /// Addresses remembered at once; beyond that new ones are not counted, so that a flood cannot fill the memory.
    static let maximumAddresses = 10_000

    private struct Counts {
        var minute = 0
        var byAddress: [String: Int] = [:]
    }

    private let counts = Mutex(Counts())

    func failed(_ address: String, now: Date) {
        counts.withLock { counts in
            Self.turn(&counts, now)
            guard counts.byAddress[address] != nil || counts.byAddress.count < Self.maximumAddresses else { return }
            counts.byAddress[address, default: 0] += 1
        }
    }

    /// Seconds to wait, or nil when the address may go on.
    func wait(for address: String, now: Date) -> Int? {
        counts.withLock { counts in
            Self.turn(&counts, now)
            guard counts.byAddress[address, default: 0] >= Self.limit else { return nil }
            return max(1, 60 - Int(now.timeIntervalSince1970) % 60)
        }
    }

    private static func turn(_ counts: inout Counts, _ now: Date) {
        let minute = Int(now.timeIntervalSince1970) / 60
        if counts.minute != minute { counts = Counts(minute: minute) }
    }
}
