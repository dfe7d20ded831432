package import Foundation
import Logging
package import Postgres
import Primitives
import Secrets

/// Messages due to be sent, and those whose outcome is open. Every verb names the sender's epoch and changes nothing if that is over.
///
/// Order that must hold: accept → claim → `preWire` (ratchet and `on_wire` in one transaction) → first byte → acknowledge.
package struct Outbox: Sendable {
    /// How long the server's acknowledgement may take before the message is due again.
    package static let acknowledgementLimit: TimeInterval = 75
    /// How often a message's bytes may leave without an answer.
    package static let wireLimit = 3
    /// How often a claim may end without reaching the wire before the message is taken for poison. More than a handful: a process that is
    /// killed takes innocent messages with it, and they must survive a bad quarter of an hour.
    package static let claimLimit = 8

    let databases: Databases
    let keys: AccountKeys
    let logger: Logger
    let preWires: GroupCommit<PreWireRequest, Void>
    let acknowledgements: GroupCommit<(Acknowledged, now: Date), Bool>
    let receipts: GroupCommit<([ReceiptRecord], now: Date), [Message.ID]>

    init(databases: Databases, keys: AccountKeys, logger: Logger) {
        self.databases = databases
        self.keys = keys
        self.logger = logger
        let engine = databases.engine
        preWires = GroupCommit(maximum: 64, lanes: 2) { try await Self.commit($0, in: engine) }
        acknowledgements = GroupCommit(maximum: 200, lanes: 1) { try await Self.commit($0, in: engine) }
        receipts = GroupCommit(maximum: 200, lanes: 1) { try await Self.commit($0, in: engine) }
    }

    // MARK: Claim

    /// Takes due messages of senders that this node owns: at most `perSender` of each, oldest first within priority, at most `limit` in all.
    /// Also takes those on the wire whose acknowledgement is overdue, or whose earlier owner is gone, for a resend under the same id.
    /// Each stays ours until `deadline`; then a sweep gives it back. A sender that is being removed gives nothing.
    package func claim(limit: Int, perSender: Int = 8, owned: [OwnedSender], now: Date, deadline: Date) async throws -> [ClaimedMessage] {
        guard !owned.isEmpty, limit > 0 else { return [] }
        let rows = try await databases.engine.query(
            "outbox.claim", Self.claimStatement(limit, perSender, owned, now, deadline), settings: Databases.accounts(owned.map(\.account)),
            as: ClaimedRow.init)
        var claimed: [ClaimedMessage] = []
        var unreadable: [Refused] = []
        for row in rows {
            do {
                claimed.append(try row.opened(by: try await keys.sealer(for: row.owner.account), deadline: deadline))
            } catch let error as DatabaseError {
                throw error
            } catch {
                // A row that cannot be opened harms nobody but itself.
                logger.error("claimed message cannot be opened", metadata: ["message.id": "\(row.id)", "error.code": "\(type(of: error))"])
                if !row.onWireBefore { unreadable.append(Refused(message: row.id, owner: row.owner, failure: .technical)) }
            }
        }
        if !unreadable.isEmpty { _ = try await refused(unreadable, now: now) }
        if !claimed.isEmpty { Failpoint.hit(.prepared) }
        return claimed
    }

    private static func claimStatement(_ limit: Int, _ perSender: Int, _ owned: [OwnedSender], _ now: Date, _ deadline: Date) -> SQL {
        """
        WITH held AS MATERIALIZED (
            SELECT l.account_id, l.sender_id, l.epoch
            FROM sender_leases l
            JOIN \(owned.rows) ON o.account_id = l.account_id AND o.sender_id = l.sender_id AND o.epoch = l.epoch
            JOIN senders s ON s.account_id = l.account_id AND s.sender_id = l.sender_id
            WHERE s.state NOT IN ('removing', 'removed')
        ),
        again AS (
            SELECT b.account_id, b.message_id, held.epoch
            FROM held
            CROSS JOIN LATERAL (
                SELECT b.account_id, b.message_id
                FROM outbox b
                WHERE b.account_id = held.account_id AND b.sender_id = held.sender_id AND b.state = 'on_wire'
                  AND (b.deadline <= \(now) OR b.epoch < held.epoch)
                  AND b.attempts < \(wireLimit) AND b.expires_at > \(now) AND NOT b.at_most_once
                ORDER BY b.deadline, b.message_id
                LIMIT \(perSender)
                FOR UPDATE SKIP LOCKED
            ) b
            LIMIT \(limit)
        ),
        due AS (
            SELECT b.account_id, b.message_id, held.epoch
            FROM held
            CROSS JOIN LATERAL (
                SELECT b.account_id, b.message_id
                FROM outbox b
                WHERE b.account_id = held.account_id AND b.sender_id = held.sender_id AND b.state = 'accepted'
                  AND b.due_at <= \(now) AND b.expires_at > \(now)
                ORDER BY b.priority, b.due_at, b.message_id
                LIMIT \(perSender)
                FOR UPDATE SKIP LOCKED
            ) b
            LIMIT \(limit)
        ),
        retaken AS (
            UPDATE outbox b SET epoch = again.epoch, deadline = \(deadline)
            FROM again
            WHERE b.account_id = again.account_id AND b.message_id = again.message_id
            RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.wire_id, b.attempts, b.expires_at, b.preview_url, true AS on_wire, b.due_at
        ),
        taken AS (
            UPDATE outbox b SET state = 'prepared', epoch = due.epoch, deadline = \(deadline), claims = b.claims + 1
            FROM due
            WHERE b.account_id = due.account_id AND b.message_id = due.message_id
            RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.wire_id, b.attempts, b.expires_at, b.preview_url, false AS on_wire, b.due_at
        ),
        mirrored AS (
            UPDATE messages m SET state = 'prepared'
            FROM taken
            WHERE m.account_id = taken.account_id AND m.message_id = taken.message_id
        )
        SELECT t.account_id, t.message_id, t.sender_id, t.epoch, t.wire_id, t.attempts, t.expires_at, t.preview_url, t.on_wire,
            m.recipient_sealed, m.send_nonce, m.test, m.created_at, d.sealed AS body_sealed
        FROM (TABLE retaken UNION ALL TABLE taken) t
        JOIN messages m ON m.account_id = t.account_id AND m.message_id = t.message_id
        LEFT JOIN message_bodies d ON d.account_id = t.account_id AND d.message_id = t.message_id
        ORDER BY m.priority, t.due_at, t.message_id
        """
    }
}
