package import struct Foundation.Date
package import Primitives
import Synchronization

/// Remembers for a short time which API keys were verified, so that Argon2 runs once a minute per key and not once a request.
///
/// It holds no secret: an entry is a keyed hash under a random key of this process. `Value` is what the caller knows about the key
/// (account, scopes …). Every method is safe from any thread.
package final class VerifiedKeyCache<Value: Sendable>: Sendable {
    /// Taken before a verification starts; see `remember`.
    package struct Ticket: Sendable {
        fileprivate let removals: UInt64
    }

    private struct Entry {
        let fingerprint: [UInt8]
        let value: Value
        let from: Date
        let serial: UInt64
    }

    private struct State {
        var entries: [String: Entry] = [:]
        /// Insertions, oldest first; those from before `head` and those whose serial is no longer the entry's are over.
        var order: [(publicID: String, serial: UInt64)] = []
        var head = 0
        var serial: UInt64 = 0
        var removals: UInt64 = 0
    }

    private let lifetime: Double
    private let capacity: Int
    private let key: SecretBytes
    private let state = Mutex(State())

    /// `lifetime` in seconds; `capacity` in entries.
    package init(lifetime: Double = 60, capacity: Int = 10_000, random: any RandomSource = SystemRandom()) {
        precondition(capacity > 0, "a cache has room for one entry at least")
        self.lifetime = lifetime
        self.capacity = capacity
        key = SecretBytes(count: 32, random: random)
    }

    /// What was remembered for exactly this key, unless that was 60 seconds ago or more, or in the future (a clock was set back).
    package func find(_ secret: APIKeySecret, now: Date) -> Value? {
        let fingerprint = secret.fingerprint(key: key)
        return state.withLock { state in
            guard let entry = state.entries[secret.publicID] else { return nil }
            let age = now.timeIntervalSince(entry.from)
            guard age >= 0, age < lifetime else {
                state.entries[secret.publicID] = nil
                return nil
            }
            // A wrong secret must not push the right one out.
            return constantTimeEqual(entry.fingerprint, fingerprint) ? entry.value : nil
        }
    }

    /// To be taken before the key's row is read and its hash checked.
    package func ticket() -> Ticket {
        Ticket(removals: state.withLock { $0.removals })
    }

    /// Remembers a verified key. Does nothing if any key was removed since the ticket was taken: the revocation may have been this
    /// key's, and the verification may not have seen it. Puts out the oldest entry when full.
    package func remember(_ secret: APIKeySecret, as value: Value, ticket: Ticket, now: Date) {
        let fingerprint = secret.fingerprint(key: key)
        state.withLock { state in
            guard state.removals == ticket.removals else { return }
            if state.entries[secret.publicID] == nil { Self.makeRoom(&state, capacity: capacity) }
            state.serial += 1
            state.entries[secret.publicID] = Entry(fingerprint: fingerprint, value: value, from: now, serial: state.serial)
            state.order.append((secret.publicID, state.serial))
            Self.compact(&state, capacity: capacity)
        }
    }

    /// Forgets a key that was revoked or changed.
    package func remove(publicID: String) {
        state.withLock { state in
            state.removals += 1
            state.entries[publicID] = nil
        }
    }

    /// Forgets everything, for when it is not known what changed.
    package func removeAll() {
        state.withLock { $0 = State(serial: $0.serial, removals: $0.removals + 1) }
    }

    /// Entries held, expired ones included.
    package var count: Int { state.withLock { $0.entries.count } }

    private static func makeRoom(_ state: inout State, capacity: Int) {
        while state.entries.count >= capacity, state.head < state.order.count {
            let oldest = state.order[state.head]
            state.head += 1
            if state.entries[oldest.publicID]?.serial == oldest.serial { state.entries[oldest.publicID] = nil }
        }
    }

    /// Keeps the list of insertions within a few times the capacity; amortised constant time.
    private static func compact(_ state: inout State, capacity: Int) {
        guard state.order.count > 4 * capacity + 16 else { return }
        state.order = state.order[state.head...].filter { state.entries[$0.publicID]?.serial == $0.serial }
        state.head = 0
    }
}
