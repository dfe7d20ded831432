import Foundation
import Postgres
import Secrets

/// A claimed message as the database gives it, still sealed.
struct ClaimedRow: Sendable {
    let id: Message.ID
    let owner: OwnedSender
    let onWireBefore: Bool
    private let wireID: String
    private let attempt: Int
    private let createdAt: Date
    private let expiresAt: Date
    private let isTest: Bool
    private let previewURL: Bool
    private let recipient: [UInt8]
    private let nonce: [UInt8]
    private let body: [UInt8]?
    private let dispatch: ClaimedMessage.Dispatch

    init(_ row: RowReader) throws {
        id = try row["message_id"]
        owner = OwnedSender(account: try row["account_id"], sender: try row["sender_id"], epoch: try row["epoch"])
        onWireBefore = try row["on_wire"]
        wireID = try row["wire_id"]
        attempt = try row["attempts"]
        createdAt = try row["created_at"]
        expiresAt = try row["expires_at"]
        isTest = try row["test"]
        previewURL = try row["preview_url"]
        recipient = try row["recipient_sealed"]
        nonce = try row["send_nonce"]
        body = try row["body_sealed"]
        dispatch = ClaimedMessage.Dispatch(
            priority: Priority(rank: try row["priority"]), recipientIndex: try row["recipient_index"], isCold: try row["cold"],
            isGreetingDue: try row["greeting_due"], isLimited: try row["limited"], limitedPool: try row["limited_pool"],
            isMovable: try row["movable"], refusals: try row["refusals"], dueAt: try row["due_at"], claimedAt: try row["claimed_at"],
            isStored: !(try row.column("unstored", as: Bool?.self) ?? false))
    }

    /// - Throws: `SecretsFailure`, `InvalidNumber`, `InvalidMessage.Code`: the row is damaged, or its body is gone.
    func opened(by sealer: Sealer, deadline: Date) throws -> ClaimedMessage {
        guard let body else { throw SecretsFailure(.malformed) }
        return ClaimedMessage(
            id: id, owner: owner, wireID: wireID, messageSecret: try WireID.messageSecret(nonce: nonce, sender: owner.sender),
            recipient: try E164(digits: sealer.openText(recipient, .recipient(id))), body: try MessageText(sealer.openText(body, .body(id))),
            previewURL: previewURL, isTest: isTest, attempt: attempt, createdAt: createdAt, expiresAt: expiresAt, deadline: deadline,
            onWireBefore: onWireBefore, dispatch: dispatch)
    }
}
