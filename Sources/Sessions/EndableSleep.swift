import Synchronization

/// Sleeps that their owner can end, now and for good: later ones return at once.
final class EndableSleep: Sendable {
    private struct State {
        var isOver = false
        var lastID: UInt64 = 0
        var sleepers: [UInt64: Task<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// Returns at `deadline`, after ``end()``, or when the calling task is cancelled.
    func sleep(until deadline: ContinuousClock.Instant) async {
        guard deadline > .now, !Task.isCancelled else { return }
        let begun = state.withLock { state -> (id: UInt64, sleeper: Task<Void, Never>)? in
            guard !state.isOver else { return nil }
            // Cancelled is over too; the caller looks at its own condition.
            let sleeper = Task { do { try await ContinuousClock().sleep(until: deadline) } catch {} }
            state.lastID += 1
            state.sleepers[state.lastID] = sleeper
            return (state.lastID, sleeper)
        }
        guard let (id, sleeper) = begun else { return }
        await withTaskCancellationHandler {
            await sleeper.value
        } onCancel: {
            sleeper.cancel()
        }
        state.withLock { $0.sleepers[id] = nil }
    }

    func sleep(for duration: Duration) async { await sleep(until: .now + duration) }

    func end() {
        let sleepers = state.withLock { state in
            state.isOver = true
            return Array(state.sleepers.values)
        }
        for sleeper in sleepers { sleeper.cancel() }
    }
}
