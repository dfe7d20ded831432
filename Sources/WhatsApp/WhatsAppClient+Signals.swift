import SignalProtocol

/// Whose turn it is to advance this device's Signal sessions.
extension WhatsAppClient {
    /// Waits until nobody else reads and advances Signal sessions; `signalLock.giveBack()` ends it. What was advanced before may still be on its way
    /// to the database: read with `signalRecords(of:)`.
    func lockSignals() async {
        if !signalLock.take() { await withCheckedContinuation { signalLock.wait($0) } }
    }

    /// Runs a step that reads the store and commits by itself: alone, and when everything that messages have advanced is durable or has failed.
    func withSettledSignals<Result>(_ step: () async throws -> Result) async rethrows -> Result {
        await lockSignals()
        defer { signalLock.giveBack() }
        let turn = turns.draw()
        defer { turns.end(turn) }
        await waitForTurn(turn)
        return try await step()
    }

    func waitForTurn(_ turn: UInt64) async {
        if !turns.isFirst(turn) { await withCheckedContinuation { turns.wait(for: turn, $0) } }
    }

    /// Records as the last message has left them. For who holds the lock; everybody else would read what is about to be replaced.
    func signalRecords(of addresses: [SignalAddress]) async throws -> [SignalAddress: SignalRecord] {
        while true {
            let known = advanced.records(of: addresses)
            guard known.count < addresses.count else { return known }
            let stored = try await store.signalRecords(for: addresses.filter { known[$0] == nil })
            // What has settled meanwhile may have failed: then the store does not have what was known of it.
            guard advanced.records(of: Array(known.keys)).count == known.count else { continue }
            return stored.merging(known) { $1 }
        }
    }

    /// One record, as the last message has left it.
    func signalRecord(of address: SignalAddress) async throws -> SignalRecord? {
        await lockSignals()
        defer { signalLock.giveBack() }
        return try await signalRecords(of: [address])[address]
    }
}
