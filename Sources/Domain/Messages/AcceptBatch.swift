import Foundation
import Postgres

/// One message ready to be written: everything identifying is sealed already, so a batch holds rows of several accounts and no secrets.
struct AcceptRow: Sendable {
    let account: Account.ID
    let message: Message.ID
    let sender: Sender.ID
    let pool: Pool.ID?
    let policy: String
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
    let expiresAt: Date
    let atMostOnce: Bool
    let previewURL: Bool
    /// Keyed hash of the idempotency key, if the client gave one.
    let keyIndex: [UInt8]?
    /// Keyed hash of the request.
    let fingerprint: [UInt8]
}

enum AcceptOutcome: Sendable {
    case stored
    /// The idempotency key was used before, for this message.
    case repeated(Message.ID, fingerprint: [UInt8])
}

/// Writes what many requests want accepted in one transaction of one statement.
struct AcceptBatch: Sendable {
    let database: Database

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
        let batch = written.map { rows[$0] }
        let settings = Databases.accounts(batch.map(\.account)) + [TransactionSetting("lock_timeout", "2s")]
        let (fresh, active, known) = try await database.transaction(settings) { transaction in
            let stored = try await transaction.query("messages.accept", Self.statement(batch)) {
                (
                    id: try $0.column("message_id", as: Message.ID.self), active: try $0.column("active", as: Bool.self),
                    fresh: try $0.column("fresh", as: Bool.self)
                )
            }
            let fresh = Set(stored.filter(\.fresh).map(\.id))
            let active = Set(stored.filter(\.active).map(\.id))
            let losers = batch.filter { !fresh.contains($0.message) && active.contains($0.message) }
            if fresh.isEmpty && losers.isEmpty { return (fresh, active, [Slot: (Message.ID, [UInt8])]()) }
            var known: [Slot: (Message.ID, [UInt8])] = [:]
            if !losers.isEmpty {
                let found = try await transaction.query("messages.acceptedBefore", Self.lookup(losers)) {
                    (
                        slot: Slot(account: try $0["account_id"], keyIndex: try $0["key_index"]),
                        message: try $0.column("resource_id", as: Message.ID.self),
                        fingerprint: try $0.column("fingerprint", as: [UInt8].self)
                    )
                }
                for row in found { known[row.slot] = (row.message, row.fingerprint) }
            }
            if !fresh.isEmpty {
                _ = try await transaction.lastQuery("messages.hint", "SELECT pg_notify(\(Hint.outbox), '')::text AS hint", as: { _ in })
            }
            return (fresh, active, known)
        }
        return rows.indices.map { index in
            let row = rows[index]
            if fresh.contains(row.message) { return .success(.stored) }
            let slot = row.keyIndex.map { Slot(account: row.account, keyIndex: $0) }
            let first = slot.flatMap { firsts[$0] }.map { rows[$0] } ?? row
            guard active.contains(first.message) else { return .failure(AcceptFailure(.accountClosed, "the account is closed")) }
            if first.message != row.message, fresh.contains(first.message) {
                return .success(.repeated(first.message, fingerprint: first.fingerprint))
            }
            guard let slot, let earlier = known[slot] else {
                return .failure(AcceptFailure(.idempotencyInProgress, "the first request with this key is not finished"))
            }
            return .success(.repeated(earlier.0, fingerprint: earlier.1))
        }
    }

    private static func lookup(_ rows: [AcceptRow]) -> SQL {
        """
        SELECT i.account_id, i.key_index, i.resource_id, i.fingerprint
        FROM idempotency i
        JOIN unnest(\(rows.map(\.account)), \(rows.map { $0.keyIndex ?? [] })) AS w (account_id, key_index)
            ON w.account_id = i.account_id AND w.key_index = i.key_index
        """
    }

    /// Keys are inserted in one order by every batch, so that two batches cannot wait for each other. The account's row is locked against
    /// closing: either this commits before the closing begins, or it sees it and writes nothing.
    private static func statement(_ rows: [AcceptRow]) -> SQL {
        """
        WITH input AS (
            SELECT i.*
            FROM unnest(
                \(rows.map(\.account)), \(rows.map(\.message)), \(rows.map(\.sender)), \(rows.map(\.pool)), \(rows.map(\.policy)),
                \(rows.map(\.reason)), \(rows.map(\.key)), \(rows.map(\.isTest)), \(rows.map(\.priority)), \(rows.map(\.recipient)),
                \(rows.map(\.recipientIndex)), \(rows.map(\.reference)), \(rows.map(\.referenceIndex)), \(rows.map(\.metadata)),
                \(rows.map(\.body)), \(rows.map(\.nonce)), \(rows.map(\.wireID)), \(rows.map(\.createdAt)), \(rows.map(\.expiresAt)),
                \(rows.map(\.atMostOnce)), \(rows.map(\.previewURL)), \(rows.map(\.keyIndex)), \(rows.map(\.fingerprint))
            ) AS i (account_id, message_id, sender_id, pool_id, policy, route_reason, key_id, test, priority, recipient_sealed,
                recipient_index, reference_sealed, reference_index, metadata_sealed, body_sealed, send_nonce, wire_id, created_at, expires_at,
                at_most_once, preview_url, key_index, fingerprint)
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
            SELECT input.*
            FROM input
            JOIN active ON active.account_id = input.account_id
            WHERE input.key_index IS NULL OR input.message_id IN (SELECT resource_id FROM claimed)
        ),
        stored AS (
            INSERT INTO messages (account_id, message_id, state, test, sender_id, pool_id, policy, route_reason, key_id, priority,
                recipient_sealed, recipient_index, reference_sealed, reference_index, metadata_sealed, send_nonce, wire_id, created_at, expires_at)
            SELECT account_id, message_id, 'accepted', test, sender_id, pool_id, policy, route_reason, key_id, priority,
                recipient_sealed, recipient_index, reference_sealed, reference_index, metadata_sealed, send_nonce, wire_id, created_at, expires_at
            FROM fresh
        ),
        bodies AS (
            INSERT INTO message_bodies (account_id, message_id, sealed)
            SELECT account_id, message_id, body_sealed FROM fresh
        ),
        due AS (
            INSERT INTO outbox (account_id, message_id, sender_id, state, priority, due_at, expires_at, at_most_once, preview_url, wire_id)
            SELECT account_id, message_id, sender_id, 'accepted', priority, created_at, expires_at, at_most_once, preview_url, wire_id FROM fresh
        ),
        named AS (
            INSERT INTO wire_ids (account_id, sender_id, wire_id, message_id)
            SELECT account_id, sender_id, wire_id, message_id FROM fresh
        ),
        told AS (
            INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
            SELECT account_id, message_id, 1, gateway_uuid7(created_at), 'queued', created_at FROM fresh
        )
        SELECT input.message_id, active.account_id IS NOT NULL AS active, fresh.message_id IS NOT NULL AS fresh
        FROM input
        LEFT JOIN active ON active.account_id = input.account_id
        LEFT JOIN fresh ON fresh.message_id = input.message_id
        """
    }
}
