package import Foundation

/// A message that this node may send now: claimed until `deadline`, under the sender's epoch.
package struct ClaimedMessage: Sendable, CustomStringConvertible {
    package let id: Message.ID
    package let owner: OwnedSender
    package var account: Account.ID { owner.account }
    package var sender: Sender.ID { owner.sender }
    /// WhatsApp's id, fixed when the sender was; the same for every attempt.
    package let wireID: String
    /// 32 bytes, as repeatable as the id (reliability.md §2.3).
    package let messageSecret: [UInt8]
    package let recipient: E164
    package let body: MessageText
    package let previewURL: Bool
    package let isTest: Bool
    /// Wires before this claim: 0 the first time.
    package let attempt: Int
    package let createdAt: Date
    package let expiresAt: Date
    /// Until when the claim holds; afterwards a sweep gives it back.
    package let deadline: Date
    /// Its bytes may have left before: this is a resend of the same id.
    package let onWireBefore: Bool

    package var description: String { "ClaimedMessage(\(id))" }
}

/// Why nothing may leave for a claimed message. What was to be written with it was rolled back.
package enum PreWireRefusal: String, Error, Sendable {
    /// Another node owns the sender: its epoch is over.
    case lostLease = "lost_lease"
    case canceled
    case expired
    /// Swept back, sent by somebody else, or gone.
    case notPrepared = "not_prepared"
}

/// The server took it.
package struct Acknowledged: Sendable {
    package let message: Message.ID
    package let owner: OwnedSender
    package let wireID: String
    /// The server's own time of it, if it said one.
    package let serverTime: Date?

    package init(message: Message.ID, owner: OwnedSender, wireID: String, serverTime: Date? = nil) {
        self.message = message
        self.owner = owner
        self.wireID = wireID
        self.serverTime = serverTime
    }
}

/// It was not delivered, for sure: the server refused it, or nothing left at all.
package struct Refused: Sendable {
    package let message: Message.ID
    package let owner: OwnedSender
    package let failure: MessageFailure.Code
    /// The server's number, for the attempt's row.
    package let serverCode: Int?
    /// nil: final. Else the same sender tries again then.
    package let retryAt: Date?

    package init(message: Message.ID, owner: OwnedSender, failure: MessageFailure.Code, serverCode: Int? = nil, retryAt: Date? = nil) {
        self.message = message
        self.owner = owner
        self.failure = failure
        self.serverCode = serverCode
        self.retryAt = retryAt
    }
}

/// Nobody knows whether it arrived: no acknowledgement came. Due again with the same id at `retryAt`, if its budget allows.
package struct Unknown: Sendable {
    package let message: Message.ID
    package let owner: OwnedSender
    package let retryAt: Date

    package init(message: Message.ID, owner: OwnedSender, retryAt: Date) {
        self.message = message
        self.owner = owner
        self.retryAt = retryAt
    }
}

/// A recipient's device has it, or showed it.
package struct ReceiptRecord: Sendable {
    package enum Kind: String, Sendable { case delivered, read }
    package let owner: OwnedSender
    package let wireID: String
    package let kind: Kind
    package let at: Date

    package init(owner: OwnedSender, wireID: String, kind: Kind, at: Date) {
        self.owner = owner
        self.wireID = wireID
        self.kind = kind
        self.at = at
    }
}

/// What one sweep did.
package struct Swept: Sendable, Equatable {
    package var expired = 0
    package var returned = 0
    package var poisoned = 0
    package var unconfirmed = 0

    package var total: Int { expired + returned + poisoned + unconfirmed }
}
