import Foundation
import Postgres
import Secrets

extension MessageView {
    /// As it stands right after it was accepted.
    init(_ row: AcceptRow, _ message: SendMessage, _ decision: RouteDecision, label: String) {
        self.init(
            id: row.message, account: row.account, status: .queued, to: message.to, isTest: row.isTest,
            sender: SenderLabel(id: row.sender, label: label),
            route: Route(policy: decision.policy, reason: decision.reason, pool: decision.pool), priority: message.priority, createdAt: row.createdAt,
            expiresAt: row.expiresAt, sendingAt: nil, sentAt: nil, deliveredAt: nil, readAt: nil, settledAt: nil, failure: nil,
            reference: message.reference?.value, metadata: message.metadata?.pairs, attempts: 0, wireID: row.wireID)
    }

    /// What the first answer said, whatever has become of the message since.
    var asFirstAnswered: MessageView {
        MessageView(
            id: id, account: account, status: .queued, to: to, isTest: isTest, sender: sender, route: route, priority: priority, createdAt: createdAt,
            expiresAt: expiresAt, sendingAt: nil, sentAt: nil, deliveredAt: nil, readAt: nil, settledAt: nil, failure: nil, reference: reference,
            metadata: metadata, attempts: 0, wireID: wireID)
    }

    static let columns: SQL = """
        m.message_id, m.state, m.test, m.sender_id, s.label_sealed, m.pool_id, m.policy, m.route_reason, m.priority, m.recipient_sealed,
            m.reference_sealed, m.metadata_sealed, m.wire_id, m.attempts, m.failure_code, m.created_at, m.expires_at, m.wire_at, m.sent_at,
            m.delivered_at, m.read_at, m.settled_at
        """
    static let tables: SQL = """
        messages m
        LEFT JOIN senders s ON s.account_id = m.account_id AND s.sender_id = m.sender_id
        """

    init(_ row: RowReader, account: Account.ID, sealer: Sealer) throws {
        let id = try row.column("message_id", as: Message.ID.self)
        let senderID = try row.column("sender_id", as: Sender.ID.self)
        let label = try row.column("label_sealed", as: [UInt8]?.self).map { try sealer.openText($0, .senderLabel(senderID)) }
        let state: MessageState = try row.state("state")
        self.init(
            id: id, account: account, status: state.status, to: try E164(digits: sealer.openText(row.column("recipient_sealed"), .recipient(id))),
            isTest: try row["test"], sender: SenderLabel(id: senderID, label: label ?? ""),
            route: Route(policy: try row.state("policy"), reason: try row["route_reason"], pool: try row["pool_id"]),
            priority: Priority(rank: try row["priority"]), createdAt: try row["created_at"], expiresAt: try row["expires_at"],
            sendingAt: try row["wire_at"], sentAt: try row["sent_at"], deliveredAt: try row["delivered_at"], readAt: try row["read_at"],
            settledAt: try row["settled_at"], failure: try row.failure("failure_code"),
            reference: try row.column("reference_sealed", as: [UInt8]?.self).map { try sealer.openText($0, .reference(id)) },
            metadata: try row.column("metadata_sealed", as: [UInt8]?.self).map { try Metadata.decode(sealer.open($0, .metadata(id))) },
            attempts: try row["attempts"], wireID: try row["wire_id"])
    }
}

extension RowReader {
    func failure(_ name: String) throws -> MessageFailure? {
        guard try column(name, as: String?.self) != nil else { return nil }
        return MessageFailure(try state(name))
    }
}
