import Foundation
import Postgres
import Secrets

extension MessageView {
    /// As it stands right after it was accepted.
    init(_ row: AcceptRow, _ message: SendMessage, _ decision: RouteDecision) {
        self.init(
            id: row.message, account: row.account, status: row.isScheduled ? .scheduled : .queued, to: message.to, isTest: row.isTest,
            sender: SenderLabel(id: row.sender, label: decision.label),
            route: Route(policy: decision.policy, reason: row.reason, pool: decision.pool), priority: message.priority, createdAt: row.createdAt,
            sendAt: message.sendAt, expiresAt: message.expiresAt, estimatedSendAt: decision.estimatedSendAt, limitedBy: decision.limitedBy,
            store: message.store, failFast: message.failFast, sendingAt: nil, sentAt: nil, deliveredAt: nil, readAt: nil, settledAt: nil,
            failure: nil, reference: message.reference?.value, metadata: message.metadata?.pairs, attempts: 0, moves: 0, wireID: row.wireID)
    }

    /// What the first answer said, whatever has become of the message since; but with the sender that it has now.
    var asFirstAnswered: MessageView {
        MessageView(
            id: id, account: account, status: sendAt.map { $0 > createdAt } ?? false ? .scheduled : .queued, to: to, isTest: isTest, sender: sender,
            route: route, priority: priority, createdAt: createdAt, sendAt: sendAt, expiresAt: expiresAt, estimatedSendAt: estimatedSendAt,
            limitedBy: limitedBy, store: store, failFast: failFast, sendingAt: nil, sentAt: nil, deliveredAt: nil, readAt: nil, settledAt: nil,
            failure: nil, reference: reference, metadata: metadata, attempts: 0, moves: 0, wireID: wireID)
    }

    static let columns: SQL = """
        m.message_id, m.state, m.test, m.sender_id, s.label_sealed, m.pool_id, m.policy, m.route_reason, m.priority, m.recipient_sealed,
            m.reference_sealed, m.metadata_sealed, m.wire_id, m.attempts, m.failure_code, m.created_at, m.send_at, m.expires_at, m.estimated_at,
            m.limited_by, m.store, m.fail_fast, m.moves, m.wire_at, m.sent_at, m.delivered_at, m.read_at, m.settled_at, b.due_at
        """
    static let tables: SQL = """
        messages m
        LEFT JOIN senders s ON s.account_id = m.account_id AND s.sender_id = m.sender_id
        LEFT JOIN outbox b ON b.account_id = m.account_id AND b.message_id = m.message_id AND b.state <> 'on_wire'
        """

    init(_ row: RowReader, account: Account.ID, sealer: Sealer) throws {
        let id = try row.column("message_id", as: Message.ID.self)
        let senderID = try row.column("sender_id", as: Sender.ID.self)
        let label = try row.column("label_sealed", as: [UInt8]?.self).map { try sealer.openText($0, .senderLabel(senderID)) }
        let state: MessageState = try row.state("state")
        let createdAt = try row.column("created_at", as: Date.self)
        let sendAt = try row.column("send_at", as: Date?.self)
        let expiresAt = try row.column("expires_at", as: Date.self)
        // What was decided with the route, or later if it was put off since. At the end of its life or after: nobody knows.
        let estimate = [try row.column("estimated_at", as: Date?.self), try row.column("due_at", as: Date?.self), sendAt].compactMap { $0 }.max()
        self.init(
            id: id, account: account, status: state.status, to: try E164(digits: sealer.openText(row.column("recipient_sealed"), .recipient(id))),
            isTest: try row["test"], sender: SenderLabel(id: senderID, label: label ?? ""),
            route: Route(policy: try row.state("policy"), reason: try row["route_reason"], pool: try row["pool_id"]),
            priority: Priority(rank: try row["priority"]), createdAt: createdAt, sendAt: sendAt, expiresAt: expiresAt,
            estimatedSendAt: Self.known(estimate ?? createdAt, before: expiresAt),
            limitedBy: try row.column("limited_by", as: String?.self).flatMap { LimitCode(rawValue: $0) },
            store: try row.state("store"), failFast: try row["fail_fast"], sendingAt: try row["wire_at"], sentAt: try row["sent_at"],
            deliveredAt: try row["delivered_at"], readAt: try row["read_at"], settledAt: try row["settled_at"],
            failure: try row.failure("failure_code"),
            reference: try row.column("reference_sealed", as: [UInt8]?.self).map { try sealer.openText($0, .reference(id)) },
            metadata: try row.column("metadata_sealed", as: [UInt8]?.self).map { try Metadata.decode(sealer.open($0, .metadata(id))) },
            attempts: try row["attempts"], moves: try row["moves"], wireID: try row["wire_id"])
    }
}

extension MessageView {
    private static func known(_ estimate: Date, before expiry: Date) -> Date? { estimate < expiry ? estimate : nil }
}

extension RowReader {
    func failure(_ name: String) throws -> MessageFailure? {
        guard try column(name, as: String?.self) != nil else { return nil }
        return MessageFailure(try state(name))
    }
}
