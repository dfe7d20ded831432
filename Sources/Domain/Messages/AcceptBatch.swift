import Foundation
import Postgres
import Primitives

enum AcceptOutcome: Sendable {
    case stored
    /// The idempotency key was used before, for this message.
    case repeated(Message.ID, fingerprint: [UInt8])
}

/// Writes what many requests want accepted in one transaction of one statement, in one round trip.
struct AcceptBatch: Sendable {
    let database: Database
    let hints: OutboxHints

    private struct Slot: Hashable {
        let account: Account.ID
        let keyIndex: [UInt8]
    }

    /// One result per row, in the same order. Throws with nothing written, or `commitUnknown`.
    /// The same key twice in one batch: the first row is written, the others are told of it like any later request.
    func write(_ rows: [AcceptRow]) async throws -> [Result<AcceptOutcome, any Error>] {
        var firsts: [Slot: Int] = [:]
        let written = rows.indices.filter { index in
            guard let keyIndex = rows[index].keyIndex else { return true }
            let slot = Slot(account: rows[index].account, keyIndex: keyIndex)
            if firsts[slot] != nil { return false }
            firsts[slot] = index
            return true
        }
        let batch = written.count == rows.count ? rows : written.map { rows[$0] }
        let answers = try await store(batch)
        // A key that somebody else holds was committed by them before this statement could pass it; now everybody sees whose it is.
        let losers = batch.filter { answers[$0.message] == .known }
        let known = losers.isEmpty ? [:] : try await earlier(losers)

        return rows.indices.map { index in
            let row = rows[index]
            let slot = row.keyIndex.map { Slot(account: row.account, keyIndex: $0) }
            let first = slot.flatMap { firsts[$0] }.map { rows[$0] } ?? row
            switch answers[first.message] {
            case .fresh where first.message == row.message: return .success(.stored)
            case .fresh: return .success(.repeated(first.message, fingerprint: first.fingerprint))
            case .closed, nil: return .failure(AcceptFailure(.accountClosed, "the account is closed"))
            case .known:
                guard let slot, let earlier = known[slot] else {
                    return .failure(AcceptFailure(.idempotencyInProgress, "the first request with this key is not finished"))
                }
                return .success(.repeated(earlier.0, fingerprint: earlier.1))
            }
        }
    }

    private enum Answer { case fresh, known, closed }

    private func store(_ batch: [AcceptRow]) async throws -> [Message.ID: Answer] {
        let settings = Databases.accounts(batch.map(\.account)) + [TransactionSetting("lock_timeout", "2s")]
        // A hint too many, when all keys were known, does no harm.
        let due = Set(batch.filter { $0.sendAt == nil }.map { DueSender(account: $0.account, sender: $0.sender) })
        let strangers = hints.strangers(among: due)
        return try await database.transaction(settings) { transaction in
            var statements = [Statement("messages.accept", Self.statement(batch))]
            if !strangers.isEmpty {
                let payload = OutboxHints.payload(for: strangers)
                statements.append(Statement("messages.hint", "SELECT pg_notify(\(Hint.outbox), \(payload))::text AS hint"))
            }
            let results = try await transaction.commit(with: statements)
            hints.tell(due)
            // The messages that were written, and the accounts that are open.
            var fresh: Set<UUID> = []
            var active: Set<UUID> = []
            for (id, isFresh) in try results[0].rows(as: { (try $0.column("id", as: UUID.self), try $0.column("fresh", as: Bool.self)) }) {
                if isFresh { fresh.insert(id) } else { active.insert(id) }
            }
            let answers = batch.map { row in
                (row.message, fresh.contains(row.message.uuid) ? Answer.fresh : active.contains(row.account.uuid) ? .known : .closed)
            }
            return Dictionary(answers, uniquingKeysWith: { first, _ in first })
        }
    }

    private func earlier(_ rows: [AcceptRow]) async throws -> [Slot: (Message.ID, [UInt8])] {
        let found = try await database.query(
            "messages.acceptedBefore",
            """
            SELECT i.account_id, i.key_index, i.resource_id, i.fingerprint
            FROM idempotency i
            JOIN unnest(\(rows.map(\.account)), \(rows.map { $0.keyIndex ?? [] })) AS w (account_id, key_index)
                ON w.account_id = i.account_id AND w.key_index = i.key_index
            """, settings: Databases.accounts(rows.map(\.account)), access: .readOnly
        ) { row in
            (
                Slot(account: try row["account_id"], keyIndex: try row["key_index"]),
                (try row.column("resource_id", as: Message.ID.self), try row.column("fingerprint", as: [UInt8].self))
            )
        }
        return Dictionary(found, uniquingKeysWith: { first, _ in first })
    }

    /// Keys are inserted in one order by every batch, so that two batches cannot wait for each other. The account's row is locked against
    /// closing: either this commits before the closing begins, or it sees it and writes nothing.
    private static func statement(_ rows: [AcceptRow]) -> SQL {
        """
        WITH input AS (
            SELECT i.*
            FROM unnest(
                \(rows.map(\.account)), \(rows.map(\.message)), \(rows.map(\.sender)), \(rows.map(\.pool)), \(rows.map(\.policy)),
                \(rows.map(\.policyOverride)), \(rows.map(\.reason)), \(rows.map(\.key)), \(rows.map(\.isTest)), \(rows.map(\.priority)),
                \(rows.map(\.recipient)), \(rows.map(\.recipientIndex)), \(rows.map(\.reference)), \(rows.map(\.referenceIndex)),
                \(rows.map(\.metadata)), \(rows.map(\.body)), \(rows.map(\.nonce)), \(rows.map(\.wireID)), \(rows.map(\.createdAt)),
                \(rows.map(\.sendAt)), \(rows.map(\.expiresAt)), \(rows.map(\.estimatedAt)), \(rows.map(\.limitedBy)), \(rows.map(\.failFast)),
                \(rows.map(\.atMostOnce)), \(rows.map(\.isStored)), \(rows.map(\.isMovable)), \(rows.map(\.previewURL)),
                \(rows.map(\.keyIndex)), \(rows.map(\.fingerprint))
            ) AS i (account_id, message_id, sender_id, pool_id, policy, policy_override, route_reason, key_id, test, priority,
                recipient_sealed, recipient_index, reference_sealed, reference_index, metadata_sealed, body_sealed, send_nonce, wire_id, created_at,
                send_at, expires_at, estimated_at, limited_by, fail_fast, at_most_once, stored, movable, preview_url, key_index, fingerprint)
        ),
        active AS MATERIALIZED (
            SELECT account_id FROM accounts
            WHERE account_id = ANY (\(Set(rows.map(\.account)).sorted())) AND state = 'active'
            ORDER BY account_id
            FOR SHARE
        ),
        claimed AS (
            INSERT INTO idempotency AS known (account_id, key_index, fingerprint, resource_id, expires_at)
            SELECT input.account_id, input.key_index, input.fingerprint, input.message_id,
                input.created_at + make_interval(secs => \(IdempotencyClaim.lifetime))
            FROM input
            JOIN active ON active.account_id = input.account_id
            WHERE input.key_index IS NOT NULL
            ORDER BY input.account_id, input.key_index
            ON CONFLICT (account_id, key_index) DO UPDATE
            SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, expires_at = excluded.expires_at
            WHERE known.expires_at <= excluded.expires_at - make_interval(secs => \(IdempotencyClaim.lifetime))
            RETURNING known.resource_id
        ),
        fresh AS (
            SELECT input.*, CASE WHEN input.send_at IS NULL THEN 'accepted' ELSE 'scheduled' END AS state
            FROM input
            JOIN active ON active.account_id = input.account_id
            WHERE input.key_index IS NULL OR input.message_id IN (SELECT resource_id FROM claimed)
        ),
        stored AS (
            INSERT INTO messages (account_id, message_id, state, test, sender_id, pool_id, policy, policy_override, route_reason, key_id, priority,
                recipient_sealed, recipient_index, reference_sealed, reference_index, metadata_sealed, send_nonce, wire_id, created_at, send_at,
                expires_at, estimated_at, limited_by, fail_fast, store)
            SELECT account_id, message_id, state, test, sender_id, pool_id, policy, policy_override, route_reason, key_id, priority,
                recipient_sealed, recipient_index, reference_sealed, reference_index, metadata_sealed, send_nonce, wire_id, created_at, send_at,
                expires_at, estimated_at, limited_by, fail_fast, CASE WHEN stored THEN 'default' ELSE 'none' END
            FROM fresh
        ),
        bodies AS (
            INSERT INTO message_bodies (account_id, message_id, sealed, unstored)
            SELECT account_id, message_id, body_sealed, NOT stored FROM fresh
        ),
        due AS (
            INSERT INTO outbox (account_id, message_id, sender_id, state, priority, due_at, expires_at, at_most_once, preview_url, wire_id, movable,
                fail_fast)
            SELECT account_id, message_id, sender_id, state, priority, coalesce(send_at, created_at), expires_at, at_most_once, preview_url, wire_id,
                movable, fail_fast
            FROM fresh
        )
        SELECT message_id AS id, true AS fresh FROM fresh
        UNION ALL
        SELECT account_id, false FROM active
        """
    }
}
