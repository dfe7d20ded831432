import WhatsAppWire

/// Questions that wait for an answer, by key. Each waiting task is resumed exactly once.
///
///     open ─▶ waiting ─▶ answered ─▶ closed        an answer may also come while nobody waits yet: it is kept
struct WaitTable {
    enum Outcome: Sendable {
        case answer(Node)
        /// Not answered, but something else proves that the question arrived; the answer may still come.
        case proven
        case timedOut
        case disconnected
        case canceled
    }

    private enum Slot {
        case open
        case waiting(ticket: UInt64, until: ContinuousClock.Instant?, CheckedContinuation<Outcome, Never>)
        case answered(Outcome)
    }

    private var slots: [String: Slot] = [:]
    /// How many wait with a time of their own.
    private(set) var timed = 0
    private var lastTicket: UInt64 = 0

    /// Opens a slot; false if the key is in use.
    mutating func open(_ key: String) -> Bool {
        guard slots[key] == nil else { return false }
        slots[key] = .open
        return true
    }

    /// Forgets an earlier answer, so that the next one counts.
    mutating func reopen(_ key: String) {
        if case .answered = slots[key] { slots[key] = .open }
    }

    /// Ends the slot's life. Nobody may be waiting.
    mutating func close(_ key: String) {
        resolve(key, .canceled)
        slots[key] = nil
    }

    /// The ticket of the wait that ``park(_:ticket:_:)`` begins next.
    mutating func makeTicket() -> UInt64 {
        lastTicket &+= 1
        return lastTicket
    }

    /// Lets a task wait; it is resumed at once if the answer is there or the slot is not.
    /// - Parameter until: when ``expire(now:canceled:)`` ends the wait; nil: whoever made the ticket ends it.
    mutating func park(
        _ key: String, ticket: UInt64, until: ContinuousClock.Instant? = nil, _ continuation: CheckedContinuation<Outcome, Never>
    ) {
        switch slots[key] {
        case .open:
            slots[key] = .waiting(ticket: ticket, until: until, continuation)
            if until != nil { timed += 1 }
        case .answered(let outcome): continuation.resume(returning: outcome)
        case .waiting, nil: continuation.resume(returning: .canceled)
        }
    }

    /// Answers a slot; false if there is none, or it is answered.
    @discardableResult
    mutating func resolve(_ key: String, _ outcome: Outcome) -> Bool {
        let resolved: Slot
        if case .proven = outcome { resolved = .open } else { resolved = .answered(outcome) }
        switch slots[key] {
        case .waiting(_, let until, let continuation):
            slots[key] = resolved
            if until != nil { timed -= 1 }
            continuation.resume(returning: outcome)
            return true
        case .open:
            slots[key] = resolved
            return true
        case .answered, nil: return false
        }
    }

    /// Ends one particular wait and no later one.
    mutating func expire(_ key: String, ticket: UInt64, _ outcome: Outcome) {
        guard case .waiting(ticket, let until, let continuation) = slots[key] else { return }
        slots[key] = .open
        if until != nil { timed -= 1 }
        continuation.resume(returning: outcome)
    }

    /// Ends the waits whose time is over and those of `canceled`; when the next one's time is over, if one waits still.
    mutating func expire(now: ContinuousClock.Instant, canceled: Set<UInt64>) -> ContinuousClock.Instant? {
        var next: ContinuousClock.Instant?
        for (key, slot) in slots {
            guard case .waiting(let ticket, let until?, _) = slot else { continue }
            if canceled.contains(ticket) {
                expire(key, ticket: ticket, .canceled)
            } else if until <= now {
                expire(key, ticket: ticket, .timedOut)
            } else {
                next = min(next ?? until, until)
            }
        }
        return next
    }

    /// Answers every slot whose key begins with one of `prefixes`.
    mutating func resolveAll(prefixes: [String], _ outcome: Outcome) {
        for key in Array(slots.keys) where prefixes.contains(where: key.hasPrefix) { resolve(key, outcome) }
    }
}
