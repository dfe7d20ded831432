import Foundation
import Postgres
import Secrets

/// A message of which nothing has left, as it is routed again.
struct WaitingMessage: Sendable {
    let account: Account.ID
    let id: Message.ID
    let sender: Sender.ID
    /// The caller did not name the sender.
    let isMovable: Bool
    let failFast: Bool
    let excluded: Set<Sender.ID>
    let priority: Priority
    let dueAt: Date
    let expiresAt: Date
    private let pool: Pool.ID?
    private let policyOverride: RoutingPolicy?
    private let key: APIKey.ID?
    private let allowedSenders: Set<Sender.ID>?
    private let isTest: Bool
    private let recipient: [UInt8]
    private let recipientIndex: [UInt8]
    private let nonce: [UInt8]

    static let columns: SQL = """
        b.account_id, b.message_id, b.sender_id, b.movable, b.fail_fast, b.excluded, b.priority, b.due_at, b.expires_at, m.pool_id,
            m.policy_override, m.key_id, k.allowed_senders, m.test, m.recipient_sealed, m.recipient_index, m.send_nonce
        """
    /// Beside `outbox b`.
    static let joins: SQL = """
        JOIN messages m ON m.account_id = b.account_id AND m.message_id = b.message_id
        LEFT JOIN api_keys k ON k.account_id = m.account_id AND k.key_id = m.key_id
        """

    init(_ row: RowReader) throws {
        account = try row["account_id"]
        id = try row["message_id"]
        sender = try row["sender_id"]
        isMovable = try row["movable"]
        failFast = try row["fail_fast"]
        excluded = Set(try row.column("excluded", as: [Sender.ID].self))
        priority = Priority(rank: try row["priority"])
        dueAt = try row["due_at"]
        expiresAt = try row["expires_at"]
        pool = try row["pool_id"]
        policyOverride = try row.column("policy_override", as: String?.self).flatMap { RoutingPolicy(rawValue: $0) }
        key = try row["key_id"]
        allowedSenders = try row.column("allowed_senders", as: [Sender.ID]?.self).map(Set.init)
        isTest = try row["test"]
        recipient = try row["recipient_sealed"]
        recipientIndex = try row["recipient_index"]
        nonce = try row["send_nonce"]
    }

    /// What was asked for when it was accepted.
    var request: RouteRequest {
        if !isMovable { return .sender(sender) }
        return pool.map { .pool($0, policy: policyOverride) } ?? .defaultPool(policy: policyOverride)
    }

    var caller: Caller { Caller(account: account, key: key, isTest: isTest, allowedSenders: allowedSenders) }

    var place: DueSender { DueSender(account: account, sender: sender) }

    /// WhatsApp's id of it over another sender.
    func wireID(over sender: Sender.ID) -> String { WireID.make(nonce: nonce, sender: sender) }

    /// - Throws: `SecretsFailure`: the row is damaged.
    func routed(_ sealer: Sealer) throws -> RoutedMessage {
        RoutedMessage(
            recipientIndex: recipientIndex, digits: try sealer.openText(recipient, .recipient(id)), priority: priority, failFast: failFast,
            excluded: excluded, expiresAt: expiresAt)
    }
}

/// A waiting message with the sender that it gets.
struct Rerouted: Sendable {
    let message: WaitingMessage
    let sender: Sender.ID
    let decision: RouteDecision
    let now: Date

    var wireID: String { message.wireID(over: sender) }
    /// As in `AcceptRow`: nil is at once, the end of its life nobody knows.
    var estimatedAt: Date? {
        let estimate = decision.estimatedSendAt ?? message.expiresAt
        return estimate > now ? estimate : nil
    }

    /// `input` of a statement: one row for each, with the sender that it had as `old_sender_id`.
    static func input(_ routes: [Rerouted]) -> SQL {
        """
        input AS (
            SELECT i.*
            FROM unnest(\(routes.map(\.message.account)), \(routes.map(\.message.id)), \(routes.map(\.message.sender)), \(routes.map(\.sender)),
                \(routes.map(\.decision.pool)), \(routes.map(\.decision.policy.rawValue)), \(routes.map(\.decision.reason)),
                \(routes.map(\.wireID)), \(routes.map(\.estimatedAt)), \(routes.map { $0.decision.limitedBy?.rawValue }))
                AS i (account_id, message_id, old_sender_id, sender_id, pool_id, policy, route_reason, wire_id, estimated_at, limited_by)
        )
        """
    }
}

/// A waiting message that will not be sent.
struct Abandoned: Sendable {
    let message: WaitingMessage
    let failure: MessageFailure.Code
}

extension Outbox {
    /// Fails messages of which nothing has left, unless they have moved on meanwhile. Returns how many.
    func abandon(_ given: [Abandoned], now: Date) async throws -> Int {
        guard !given.isEmpty else { return 0 }
        return try await databases.engine.query(
            "outbox.abandon",
            Settlement.statement(
                victims: """
                    SELECT b.account_id, b.message_id, 'failed' AS new_state, i.failure_code
                    FROM outbox b
                    JOIN unnest(\(given.map(\.message.account)), \(given.map(\.message.id)), \(given.map(\.message.sender)),
                        \(given.map(\.failure.rawValue))) AS i (account_id, message_id, sender_id, failure_code)
                        ON i.account_id = b.account_id AND i.message_id = b.message_id AND i.sender_id = b.sender_id
                    WHERE b.state IN ('scheduled', 'accepted')
                    ORDER BY b.account_id, b.message_id
                    FOR UPDATE OF b SKIP LOCKED
                    """, now: now), settings: Databases.accounts(given.map(\.message.account)), as: { _ in }
        ).count
    }

    /// Tells the dispatchers that these have something due: ours at once, others by NOTIFY.
    func announce(_ senders: Set<DueSender>) async throws {
        guard !senders.isEmpty else { return }
        hints.tell(senders)
        let strangers = hints.strangers(among: senders)
        guard !strangers.isEmpty else { return }
        _ = try await databases.engine.query(
            "outbox.hint", "SELECT pg_notify(\(Hint.outbox), \(OutboxHints.payload(for: strangers)))::text AS hint", as: { _ in })
    }
}
