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
    package let dispatch: Dispatch

    /// What decides when and how it may leave.
    package struct Dispatch: Sendable {
        package let priority: Priority
        package let recipientIndex: [UInt8]
        /// The sender has never written to this recipient.
        package let isCold: Bool
        /// The sender's row for this recipient is missing or older than a day: pre-wire writes it.
        package let isGreetingDue: Bool
        /// The sender or the message's pool has limits: pre-wire checks and debits them.
        package let isLimited: Bool
        /// The pool it was routed through, if that has limits.
        package let limitedPool: Pool.ID?
        /// It may go to another sender while nothing has left.
        package let isMovable: Bool
        /// How often the server has refused it.
        package let refusals: Int
        package let dueAt: Date
        package let claimedAt: Date
        /// `store: none`: what it says goes when every device has it.
        package var isStored = true
    }

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
    /// The sender is paused, or a limit of the sender or the pool is reached: it is due again when that ends.
    case overLimit = "over_limit"
}

/// Where the time of an attempt went before its bytes left.
package struct AttemptTimings: Sendable, Equatable {
    /// Asking for the recipient's devices and keys.
    package let resolve: Duration
    package let encrypt: Duration
    /// Making the ratchet durable.
    package let commit: Duration

    package init(resolve: Duration, encrypt: Duration, commit: Duration) {
        self.resolve = resolve
        self.encrypt = encrypt
        self.commit = commit
    }
}

/// The server took it.
package struct Acknowledged: Sendable {
    package let message: Message.ID
    package let owner: OwnedSender
    package let wireID: String
    /// The server's own time of it, if it said one.
    package let serverTime: Date?
    package let timings: AttemptTimings?

    package init(message: Message.ID, owner: OwnedSender, wireID: String, serverTime: Date? = nil, timings: AttemptTimings? = nil) {
        self.message = message
        self.owner = owner
        self.wireID = wireID
        self.serverTime = serverTime
        self.timings = timings
    }
}

/// It was not delivered, for sure: the server refused it, or nothing left at all.
package struct Refused: Sendable {
    /// What happens to the message.
    package enum Course: Sendable, Equatable {
        /// It failed.
        case end
        /// The same sender tries again then, or when its pause is over.
        case retry(at: Date)
        /// The same sender tries once more then, if this code has not come from it before; a movable message may go elsewhere until then.
        case once(at: Date)
        /// Never again over this sender to this recipient: a movable message waits for another sender, any other one failed.
        case elsewhere
    }

    package let message: Message.ID
    package let owner: OwnedSender
    /// The wires that this verdict knows of: a row that shows another number was put on the wire through a later claim, of which it says nothing.
    /// nil: the claim is the only one.
    package let attempts: Int?
    package let failure: MessageFailure.Code
    /// The server's number, for the attempt's row.
    package let serverCode: Int?
    package let course: Course
    /// What it says about the sender itself; recorded in the same transaction.
    package let health: Health.Finding?

    package init(
        message: Message.ID, owner: OwnedSender, attempts: Int? = nil, failure: MessageFailure.Code, serverCode: Int? = nil, course: Course = .end,
        health: Health.Finding? = nil
    ) {
        self.message = message
        self.owner = owner
        self.attempts = attempts
        self.failure = failure
        self.serverCode = serverCode
        self.course = course
        self.health = health
    }

    /// - Parameter retryAt: nil is final.
    package init(message: Message.ID, owner: OwnedSender, failure: MessageFailure.Code, serverCode: Int? = nil, retryAt: Date?) {
        self.init(message: message, owner: owner, failure: failure, serverCode: serverCode, course: retryAt.map { .retry(at: $0) } ?? .end)
    }
}

/// A claimed message that may not leave yet: nothing has left, and it is due again at `until`.
package struct Postponed: Sendable {
    package let message: Message.ID
    package let owner: OwnedSender
    package let until: Date

    package init(message: Message.ID, owner: OwnedSender, until: Date) {
        self.message = message
        self.owner = owner
        self.until = until
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
    /// WhatsApp's number of the device; nil: not told.
    package let device: Int?

    package init(owner: OwnedSender, wireID: String, kind: Kind, at: Date, device: Int? = nil) {
        self.owner = owner
        self.wireID = wireID
        self.kind = kind
        self.at = at
        self.device = device
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
