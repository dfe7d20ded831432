package import Foundation

/// What is asked of the router: everything about the message that the decision may depend on, time and chance included.
package struct RouteQuestion: Sendable {
    package let request: RouteRequest
    package let isTest: Bool
    /// nil: every sender.
    package let allowedSenders: Set<Sender.ID>?
    /// The recipient's blind index, which `sticky` hashes.
    package let recipientIndex: [UInt8]
    /// The recipient's number without plus, for prefixes and time zones.
    package let digits: String
    package let priority: Priority
    /// Nobody may send at `at`: rather nobody than one that may later.
    package let failFast: Bool
    /// Senders that it was moved away from for good.
    package let excluded: Set<Sender.ID>
    /// Senders that have written to this recipient before.
    package let warm: Set<Sender.ID>
    /// Senders that may never write to this recipient: refused as a new chat (463).
    package let refused: Set<Sender.ID>
    /// When the message may leave: now, or the time it is scheduled for.
    package let at: Date
    /// The end of its life: who may send only after that is as good as unknown.
    package let expiresAt: Date
    /// Counts up with each question per pool; `round_robin` turns by it, and so does `prefix`.
    package let turn: UInt64
    /// The chance that `weighted` and `random` use.
    package let seed: UInt64

    package init(
        request: RouteRequest, isTest: Bool = false, allowedSenders: Set<Sender.ID>? = nil, recipientIndex: [UInt8] = [], digits: String = "",
        priority: Priority = .normal, failFast: Bool = false, excluded: Set<Sender.ID> = [], warm: Set<Sender.ID> = [],
        refused: Set<Sender.ID> = [], at: Date, expiresAt: Date = .distantFuture, turn: UInt64 = 0, seed: UInt64 = 0
    ) {
        self.request = request
        self.isTest = isTest
        self.allowedSenders = allowedSenders
        self.recipientIndex = recipientIndex
        self.digits = digits
        self.priority = priority
        self.failFast = failFast
        self.excluded = excluded
        self.warm = warm
        self.refused = refused
        self.at = at
        self.expiresAt = expiresAt
        self.turn = turn
        self.seed = seed
    }
}

/// What the router has to know of a message, as those who route it name it.
package struct RoutedMessage: Sendable {
    /// The recipient's blind index.
    package let recipientIndex: [UInt8]
    /// The recipient's number without plus.
    package let digits: String
    package let priority: Priority
    package let failFast: Bool
    /// Senders that it must not go to (again).
    package let excluded: Set<Sender.ID>
    /// nil: now.
    package let dueAt: Date?
    package let expiresAt: Date

    package init(
        recipientIndex: [UInt8], digits: String, priority: Priority = .normal, failFast: Bool = false, excluded: Set<Sender.ID> = [],
        dueAt: Date? = nil, expiresAt: Date = .distantFuture
    ) {
        self.recipientIndex = recipientIndex
        self.digits = digits
        self.priority = priority
        self.failFast = failFast
        self.excluded = excluded
        self.dueAt = dueAt
        self.expiresAt = expiresAt
    }
}
