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
        /// Hashes that run now, and who waits for each beside the one that runs it.
        var flights: [Flight: [Waiter]] = [:]
    }

    /// What is being hashed, and against what.
    private struct Flight: Hashable {
        let fingerprint: [UInt8]
        let verifier: String?
    }

    private typealias Waiter = CheckedContinuation<Role, Never>

    /// What one call of `verify` has to do.
    private enum Role {
        /// Nothing: it was remembered, or another call has found out.
        case done(Result<Bool, Argon2Failure>)
        /// Hash, for all.
        case hash
    }

    /// Seconds by which a request may come before the one that verified its key: they are not handled in the order of their clocks.
    private static var slack: Double { 1 }

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

    /// What was remembered for exactly this key, unless that was 60 seconds ago or more, or a second or more in the future (a clock was set
    /// back).
    package func find(_ secret: APIKeySecret, now: Date) -> Value? {
        let fingerprint = secret.fingerprint(key: key)
        return state.withLock { Self.find(&$0, secret.publicID, fingerprint, lifetime: lifetime, now: now) }
    }

    /// Whether the secret is the right one: by what is remembered, or else by `hash`. Calls with the same secret and verifier that come while
    /// it is being hashed wait for that one hash and get its result, and nobody waits for another secret's. What `hash` threw goes to all
    /// who wait and is not remembered.
    ///
    /// The hash runs in the task of the call that came first. It cannot end by cancellation, so a cancelled call takes nothing from the others.
    /// - Parameters:
    ///   - value: what is known about the key, remembered if the secret is right; nil: nothing is known, and nothing will be remembered.
    ///   - verifier: what `hash` compares with; nil: something that nothing matches.
    package func verify(
        _ secret: APIKeySecret, as value: Value?, against verifier: String?, ticket: Ticket, now: Date,
        hash: () async throws(Argon2Failure) -> Bool
    ) async throws(Argon2Failure) -> Bool where Value: Equatable {
        let fingerprint = secret.fingerprint(key: key)
        let flight = Flight(fingerprint: fingerprint, verifier: verifier)
        switch await role(in: flight, secret, value, now: now) {
        case .done(let result): return try result.get()
        case .hash: break
        }
        let result: Result<Bool, Argon2Failure>
        do throws(Argon2Failure) { result = .success(try await hash()) } catch { result = .failure(error) }
        // Remembered and ended at once, or a call between the two would hash again.
        let waiters = state.withLock { state in
            if let value, case .success(true) = result {
                Self.remember(&state, secret.publicID, fingerprint, value, ticket: ticket, capacity: capacity, now: now)
            }
            return state.flights.removeValue(forKey: flight) ?? []
        }
        for waiter in waiters { waiter.resume(returning: .done(result)) }
        return try result.get()
    }

    private func role(in flight: Flight, _ secret: APIKeySecret, _ value: Value?, now: Date) async -> Role where Value: Equatable {
        await withCheckedContinuation { waiter in
            let role: Role? = state.withLock { state in
                if let value, Self.find(&state, secret.publicID, flight.fingerprint, lifetime: lifetime, now: now) == value {
                    return .done(.success(true))
                }
                // Found by Swift's seeded hash of a keyed hash: its timing says nothing about the secret.
                guard state.flights[flight] != nil else {
                    state.flights[flight] = []
                    return .hash
                }
                state.flights[flight]?.append(waiter)
                return nil
            }
            if let role { waiter.resume(returning: role) }
        }
    }

    private static func find(_ state: inout State, _ publicID: String, _ fingerprint: [UInt8], lifetime: Double, now: Date) -> Value? {
        guard let entry = state.entries[publicID] else { return nil }
        let age = now.timeIntervalSince(entry.from)
        guard age > -slack, age < lifetime else {
            state.entries[publicID] = nil
            return nil
        }
        // A wrong secret must not push the right one out.
        return constantTimeEqual(entry.fingerprint, fingerprint) ? entry.value : nil
    }

    /// To be taken before the key's row is read and its hash checked.
    package func ticket() -> Ticket {
        Ticket(removals: state.withLock { $0.removals })
    }

    /// Remembers a verified key. Does nothing if any key was removed since the ticket was taken: the revocation may have been this
    /// key's, and the verification may not have seen it. Puts out the oldest entry when full.
    package func remember(_ secret: APIKeySecret, as value: Value, ticket: Ticket, now: Date) {
        let fingerprint = secret.fingerprint(key: key)
        state.withLock { Self.remember(&$0, secret.publicID, fingerprint, value, ticket: ticket, capacity: capacity, now: now) }
    }

    private static func remember(
        _ state: inout State, _ publicID: String, _ fingerprint: [UInt8], _ value: Value, ticket: Ticket, capacity: Int, now: Date
    ) {
        guard state.removals == ticket.removals else { return }
        if state.entries[publicID] == nil { makeRoom(&state, capacity: capacity) }
        state.serial += 1
        state.entries[publicID] = Entry(fingerprint: fingerprint, value: value, from: now, serial: state.serial)
        state.order.append((publicID, state.serial))
        compact(&state, capacity: capacity)
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
        state.withLock { $0 = State(serial: $0.serial, removals: $0.removals + 1, flights: $0.flights) }
    }

    /// Entries held, expired ones included.
    package var count: Int { state.withLock { $0.entries.count } }

    /// Calls of `verify` that wait for another one's hash.
    package var waiting: Int { state.withLock { $0.flights.values.map(\.count).reduce(0, +) } }

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
