import Foundation
import Primitives
import Secrets

/// One message ready to be written: everything identifying is sealed already, so a batch holds rows of several accounts and no secrets.
/// A class, because a row passes through many hands on its way into a commit.
final class AcceptRow: Sendable {
    let account: Account.ID
    let message: Message.ID
    let sender: Sender.ID
    let pool: Pool.ID?
    let policy: String
    /// What the request asked for in place of the pool's policy.
    let policyOverride: String?
    let reason: String
    let key: APIKey.ID?
    let isTest: Bool
    let priority: Int16
    let recipient: [UInt8]
    let recipientIndex: [UInt8]
    let reference: [UInt8]?
    let referenceIndex: [UInt8]?
    let metadata: [UInt8]?
    let body: [UInt8]
    let nonce: [UInt8]
    let wireID: String
    let createdAt: Date
    /// nil: now.
    let sendAt: Date?
    let expiresAt: Date
    /// Later than `createdAt`, or nil. The end of its life: nobody knows.
    let estimatedAt: Date?
    let limitedBy: String?
    let failFast: Bool
    let atMostOnce: Bool
    let isStored: Bool
    let isMovable: Bool
    let previewURL: Bool
    /// Keyed hash of the idempotency key, if the client gave one.
    let keyIndex: [UInt8]?
    /// Keyed hash of the request.
    let fingerprint: [UInt8]

    /// How many random bytes a message takes: its id, its nonce, and one for each sealed value.
    static let randomBytes = 16 + 16 + 4 * 24

    var isScheduled: Bool { sendAt != nil }

    /// Seals what the draft asks for.
    /// - Parameter decision: has a sender.
    init(_ draft: MessageDraft, sender: Sender.ID, decision: RouteDecision, random: any RandomSource, now: Date) throws {
        let message = draft.message
        let sealer = draft.sealer.drawing(from: random)
        let id = Message.ID.make(at: now, random: random)
        account = draft.caller.account
        self.message = id
        self.sender = sender
        pool = decision.pool
        policy = decision.policy.rawValue
        switch message.route {
        case .sender: policyOverride = nil
        case .pool(_, let policy), .defaultPool(let policy): policyOverride = policy?.rawValue
        }
        reason = decision.reason
        key = draft.caller.key
        isTest = draft.caller.isTest
        priority = message.priority.rank
        recipient = sealer.seal(message.to.digits, .recipient(id))
        recipientIndex = draft.recipientIndex
        reference = message.reference.map { sealer.seal($0.value, .reference(id)) }
        referenceIndex = message.reference.map { sealer.index(of: $0) }
        metadata = try message.metadata.map { sealer.seal(try $0.encoded(), .metadata(id)) }
        body = sealer.seal(message.text.value, .body(id))
        nonce = random.bytes(16)
        wireID = WireID.make(nonce: nonce, sender: sender)
        createdAt = now
        sendAt = message.sendAt.flatMap { $0 > now ? $0 : nil }
        expiresAt = message.expiresAt
        let estimate = decision.estimatedSendAt ?? message.expiresAt
        estimatedAt = estimate > max(now, message.sendAt ?? now) ? estimate : nil
        limitedBy = decision.limitedBy?.rawValue
        failFast = message.failFast
        atMostOnce = message.atMostOnce
        isStored = message.store == .standard
        isMovable = decision.policy != .explicit
        previewURL = message.previewURL
        keyIndex = draft.keyIndex
        fingerprint = draft.fingerprint
    }
}

/// A request with what recognises it: its blind indexes.
struct MessageDraft: Sendable {
    let message: SendMessage
    let caller: Caller
    let sealer: Sealer
    let recipientIndex: [UInt8]
    let keyIndex: [UInt8]?
    let fingerprint: [UInt8]

    init(_ message: SendMessage, _ caller: Caller, _ key: IdempotencyKey?, _ sealer: Sealer) {
        self.message = message
        self.caller = caller
        self.sealer = sealer
        recipientIndex = sealer.index(of: message.to)
        keyIndex = key.map { IdempotencyClaim.index(of: $0, sealer) }
        // Without a key nobody asks for it.
        fingerprint = key == nil ? [] : sealer.blindIndex(message.canonical + [caller.isTest ? 1 : 0], purpose: .idempotency)
    }

    var routed: RoutedMessage {
        // A scheduled message is routed when it comes due; now it is only asked whether the route is there.
        RoutedMessage(
            recipientIndex: recipientIndex, digits: message.to.digits, priority: message.priority,
            failFast: message.failFast && message.sendAt == nil, dueAt: message.sendAt, expiresAt: message.expiresAt)
    }
}
