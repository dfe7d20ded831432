package import Foundation
import Postgres

extension Outbox {
    /// Records what devices reported. A message only rises: the later word wins, `read` fills in `delivered`, and either implies `sent`.
    /// Repeated, late and unknown receipts change nothing. A device's time counts whole seconds of another clock: here it is never before what
    /// the message's story tells already, and never after `now`. The receipt's own acknowledgement may go out when this has returned.
    /// - Returns: the messages that rose.
    package func recordReceipts(_ records: [ReceiptRecord], now: Date) async throws -> [Message.ID] {
        guard !records.isEmpty else { return [] }
        let risen = try await reports.submit((.received(records), now))
        try await forgetReported(records)
        return risen
    }

    /// Everybody's receipts of one moment in one statement.
    static func receiptStatement(_ best: [ReceiptRecord], now: Date) -> Statement {
        Statement(
            "outbox.recordReceipts",
            """
            WITH input AS (
                SELECT i.account_id, i.sender_id, i.epoch, i.wire_id, i.rank, i.at
                FROM unnest(\(best.map(\.owner.account)), \(best.map(\.owner.sender)), \(best.map(\.owner.epoch)), \(best.map(\.wireID)),
                    \(best.map { $0.kind.rank }), \(best.map(\.at))) AS i (account_id, sender_id, epoch, wire_id, rank, at)
            ),
            \(held),
            meant AS MATERIALIZED (
                SELECT w.account_id, w.message_id, i.rank, i.at
                FROM mine i
                JOIN wire_ids w ON w.account_id = i.account_id AND w.sender_id = i.sender_id AND w.wire_id = i.wire_id
            ),
            open AS MATERIALIZED (
                SELECT b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at
                FROM outbox b
                JOIN meant ON meant.account_id = b.account_id AND meant.message_id = b.message_id
                WHERE \(state) = 'on_wire'
                ORDER BY b.account_id, b.message_id
                FOR UPDATE OF b
            ),
            target AS MATERIALIZED (
                SELECT m.account_id, m.message_id, meant.rank,
                    greatest(least(meant.at, \(now)), m.wire_at, m.sent_at, m.delivered_at, m.settled_at) AS at,
                    CASE m.state WHEN 'sent' THEN 3 WHEN 'delivered' THEN 4 ELSE 2 END AS old_rank
                FROM messages m
                JOIN meant ON meant.account_id = m.account_id AND meant.message_id = m.message_id
                WHERE m.state IN ('on_wire', 'sent', 'delivered', 'unconfirmed') AND (SELECT count(*) FROM open) >= 0
                ORDER BY m.account_id, m.message_id
                FOR UPDATE OF m
            ),
            moved AS (
                UPDATE messages m
                SET state = CASE t.rank WHEN 5 THEN 'read' ELSE 'delivered' END, sent_at = coalesce(m.sent_at, t.at),
                    delivered_at = coalesce(m.delivered_at, t.at), read_at = CASE t.rank WHEN 5 THEN t.at END,
                    settled_at = coalesce(m.settled_at, \(now)), failure_code = NULL, events = m.events + t.rank - t.old_rank
                FROM target t
                WHERE m.account_id = t.account_id AND m.message_id = t.message_id AND t.rank > t.old_rank
                RETURNING m.account_id, m.message_id, m.wire_id, m.events, m.attempts, t.rank, t.old_rank, t.at
            ),
            told AS (
                INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
                SELECT account_id, message_id, events - (rank - step), gateway_uuid7(\(now)),
                    CASE step WHEN 3 THEN 'sent' WHEN 4 THEN 'delivered' ELSE 'read' END, at
                FROM moved
                CROSS JOIN LATERAL generate_series(old_rank + 1, rank) AS step
            ),
            gone AS (
                DELETE FROM outbox b USING moved
                WHERE b.account_id = moved.account_id AND b.message_id = moved.message_id AND \(state) = 'on_wire'
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at, b.due_at, b.claimed_at, moved.at
            ),
            tried AS (
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome, due_at, claimed_at,
                    receipt_at)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'received', due_at, claimed_at, at FROM gone
                ON CONFLICT (account_id, message_id, attempt) DO UPDATE
                SET ended_at = excluded.ended_at, outcome = excluded.outcome, receipt_at = excluded.receipt_at
            ),
            answered AS (
                UPDATE message_attempts t SET receipt_at = moved.at
                FROM moved
                WHERE t.account_id = moved.account_id AND t.message_id = moved.message_id AND t.attempt = moved.attempts
                  AND moved.old_rank < 4 AND NOT EXISTS (SELECT FROM gone g WHERE g.account_id = moved.account_id AND g.message_id = moved.message_id)
            )
            SELECT message_id, wire_id FROM moved ORDER BY message_id
            """)
    }

    /// One per message: several devices report the same one in the same moment.
    static func best(_ receipts: [ReceiptRecord]) -> [ReceiptRecord] {
        struct Slot: Hashable {
            let owner: OwnedSender
            let wireID: String
        }
        var best: [Slot: ReceiptRecord] = [:]
        for receipt in receipts {
            let slot = Slot(owner: receipt.owner, wireID: receipt.wireID)
            guard let known = best[slot] else {
                best[slot] = receipt
                continue
            }
            if (receipt.kind.rank, known.at) > (known.kind.rank, receipt.at) { best[slot] = receipt }
        }
        return Array(best.values)
    }
}

extension ReceiptRecord.Kind {
    /// As in reliability.md §2.4.
    var rank: Int32 {
        switch self {
        case .delivered: 4
        case .read: 5
        }
    }
}
