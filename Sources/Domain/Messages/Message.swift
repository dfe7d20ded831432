package import Foundation

/// What a client asked for. Its parts live in `SendMessage` (asked), `MessageView` (shown) and `ClaimedMessage` (being sent).
package enum Message: Identified {
    package typealias ID = TypedID<Message>
    package static let idPrefix = "msg"
}

/// A message as the API shows it.
package struct MessageView: Sendable {
    package struct SenderLabel: Sendable { package let id: Sender.ID; package let label: String }
    package struct Route: Sendable { package let policy: RoutingPolicy; package let reason: String; package let pool: Pool.ID? }

    package let id: Message.ID
    package let account: Account.ID
    package let status: MessageStatus
    package let to: E164
    package let isTest: Bool
    package let sender: SenderLabel?
    package let route: Route
    package let priority: Priority
    package let createdAt: Date
    /// Not to be sent before; nil: at once.
    package let sendAt: Date?
    package let expiresAt: Date
    /// While it is not sent: when it will probably leave; nil: nobody knows.
    package let estimatedSendAt: Date?
    /// What kept it from leaving at once when it was routed.
    package let limitedBy: LimitCode?
    package let store: MessageStore
    package let failFast: Bool
    /// When the first byte was about to leave, last time.
    package let sendingAt: Date?
    package let sentAt: Date?
    package let deliveredAt: Date?
    package let readAt: Date?
    /// When nothing more was to be sent.
    package let settledAt: Date?
    package let failure: MessageFailure?
    package let reference: String?
    package let metadata: [String: String]?
    /// Wires so far: how often its bytes may have left.
    package let attempts: Int
    /// How often it went to another sender while nothing had left.
    package let moves: Int
    /// WhatsApp's id of it, fixed before the first byte.
    package let wireID: String
}

/// The answer to an accepted request.
package struct Accepted: Sendable {
    package let message: MessageView
    /// The request had been accepted before under the same idempotency key; `message` is as it was first answered.
    package let replayed: Bool
}

/// What came of one item of a batch.
package enum BatchOutcome: Sendable {
    case accepted(Accepted)
    /// Something in it is wrong.
    case invalid(InvalidMessage)
    /// It is well-formed, but was not accepted.
    case refused(AcceptFailure)
}

/// Which messages a list shows. All of it is optional and combined by "and".
package struct MessageFilter: Sendable {
    package var status: MessageStatus?
    package var sender: Sender.ID?
    package var pool: Pool.ID?
    package var recipient: E164?
    package var reference: Reference?
    package var createdFrom: Date?
    package var createdBefore: Date?
    /// Only messages over test senders, or only others.
    package var isTest: Bool?

    package init(
        status: MessageStatus? = nil, sender: Sender.ID? = nil, pool: Pool.ID? = nil, recipient: E164? = nil, reference: Reference? = nil,
        createdFrom: Date? = nil, createdBefore: Date? = nil, isTest: Bool? = nil
    ) {
        self.status = status
        self.sender = sender
        self.pool = pool
        self.recipient = recipient
        self.reference = reference
        self.createdFrom = createdFrom
        self.createdBefore = createdBefore
        self.isTest = isTest
    }
}

/// Which part of a list, newest first: `limit` 1…200 (clamped), after the row `after`.
package struct PageRequest<ID: Sendable>: Sendable {
    package let limit: Int
    package let after: ID?

    package init(limit: Int = 50, after: ID? = nil) {
        self.limit = min(200, max(1, limit))
        self.after = after
    }
}

/// One page; `next` is the id to continue after, nil at the end.
package struct Page<Element: Sendable, ID: Sendable>: Sendable {
    package let data: [Element]
    package let next: ID?
}
