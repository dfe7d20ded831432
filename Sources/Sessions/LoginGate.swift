import Synchronization

/// Spaces the logins of one node, so that a restart of WhatsApp's servers does not become a storm: at most `perSecond` begin in any second
/// (design §13.7).
final class LoginGate: Sendable {
    private let interval: Duration
    private let next: Mutex<ContinuousClock.Instant>

    init(perSecond: Int) {
        interval = .seconds(1) / max(1, perSecond)
        next = Mutex(ContinuousClock.now)
    }

    /// Returns when this login may begin, when `turn` is ended, or when the task is cancelled. Whoever was stopped meanwhile asks its own state.
    func pass(_ turn: EndableSleep) async {
        let slot = next.withLock { next in
            let slot = max(next, ContinuousClock.now)
            next = slot + interval
            return slot
        }
        await turn.sleep(until: slot)
    }
}
