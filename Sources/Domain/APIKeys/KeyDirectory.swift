import Foundation
import Synchronization

/// Remembers for a few seconds what the database says about a key, so that a revocation is seen everywhere within five seconds and
/// yet most requests ask nothing. Holds no secret.
final class KeyDirectory: Sendable {
    struct Record: Sendable {
        let id: APIKey.ID
        let caller: Caller
        let verifier: String?
        let expiresAt: Date?
        let isUsable: Bool
    }

    private struct State {
        var records: [String: (record: Record, readAt: Date)] = [:]
        var lastUsed: [APIKey.ID: Int64] = [:]
    }

    /// Seconds; below the five that a revocation may take.
    private static let lifetime: TimeInterval = 4
    private static let capacity = 10_000
    private let state = Mutex(State())

    func find(_ lookup: String, now: Date) -> Record? {
        state.withLock { state in
            guard let known = state.records[lookup], (0..<Self.lifetime).contains(now.timeIntervalSince(known.readAt)) else { return nil }
            return known.record
        }
    }

    func remember(_ record: Record, as lookup: String, readAt: Date) {
        state.withLock { state in
            if state.records.count >= Self.capacity { state.records.removeAll() }
            state.records[lookup] = (record, readAt)
        }
    }

    func removeAll() { state.withLock { $0.records.removeAll() } }

    /// Whether this is the key's first use in its minute here, so that the database hears of it once a minute.
    func isFirstUse(_ key: APIKey.ID, now: Date) -> Bool {
        let minute = Int64(now.timeIntervalSince1970 / 60)
        return state.withLock { state in
            if state.lastUsed.count >= Self.capacity { state.lastUsed.removeAll() }
            return state.lastUsed.updateValue(minute, forKey: key) != minute
        }
    }
}
