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
        case waiting(ticket: UInt64, CheckedContinuation<Outcome, Never>)
        case answered(Outcome)
    }

    private var slots: [String: Slot] = [:]
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
    mutating func park(_ key: String, ticket: UInt64, _ continuation: CheckedContinuation<Outcome, Never>) {
        switch slots[key] {
        case .open: slots[key] = .waiting(ticket: ticket, continuation)
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
        case .waiting(_, let continuation):
            slots[key] = resolved
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
        guard case .waiting(ticket, let continuation) = slots[key] else { return }
        slots[key] = .open
        continuation.resume(returning: outcome)
    }

    /// Answers every slot whose key begins with one of `prefixes`.
    mutating func resolveAll(prefixes: [String], _ outcome: Outcome) {
        for key in Array(slots.keys) where prefixes.contains(where: key.hasPrefix) { resolve(key, outcome) }
    }
}
