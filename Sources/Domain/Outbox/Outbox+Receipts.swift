package import Foundation
import Postgres

extension Outbox {
    /// Records what devices reported. A message only rises: the later word wins, `read` fills in `delivered`, and either implies `sent`.
    /// Repeated, late and unknown receipts change nothing. A device's time counts whole seconds of another clock: here it is never before what
    /// the message's story tells already, and never after `now`. The receipt's own acknowledgement may go out when this has returned.
    /// - Returns: the messages that rose.
    package func recordReceipts(_ records: [ReceiptRecord], now: Date) async throws -> [Message.ID] {
        records.isEmpty ? [] : try await receipts.submit((records, now))
    }

    /// Everybody's receipts of one moment in one statement. Several of one message count as the best of them, for each who reported it.
    static func commit(_ batch: [([ReceiptRecord], now: Date)], in engine: Database) async throws -> [Result<[Message.ID], any Error>] {
        let now = batch.map(\.now).max() ?? .distantPast
        let risen = try await record(best(batch.flatMap(\.0)), now: now, in: engine)
        return batch.map { records, _ in
            let wireIDs = Set(records.map(\.wireID))
            return .success(risen.filter { wireIDs.contains($0.wireID) }.map(\.message))
        }
    }

    private static func record(_ best: [ReceiptRecord], now: Date, in engine: Database) async throws -> [(message: Message.ID, wireID: String)] {
        try await engine.query(
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
                FROM input i
                JOIN held ON held.account_id = i.account_id AND held.sender_id = i.sender_id AND held.epoch = i.epoch
                JOIN wire_ids w ON w.account_id = i.account_id AND w.sender_id = i.sender_id AND w.wire_id = i.wire_id
            ),
            open AS MATERIALIZED (
                SELECT b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at
                FROM outbox b
                JOIN meant ON meant.account_id = b.account_id AND meant.message_id = b.message_id
                WHERE b.state = 'on_wire'
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
                RETURNING m.account_id, m.message_id, m.wire_id, m.events, t.rank, t.old_rank, t.at
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
                WHERE b.account_id = moved.account_id AND b.message_id = moved.message_id AND b.state = 'on_wire'
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at
            ),
            tried AS (
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'received' FROM gone
                ON CONFLICT (account_id, message_id, attempt) DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome
            )
            SELECT message_id, wire_id FROM moved ORDER BY message_id
            """, settings: Databases.accounts(best.map(\.owner.account)), as: { (message: try $0["message_id"], wireID: try $0["wire_id"]) })
    }

    /// One per message: several devices report the same one in the same moment.
    private static func best(_ receipts: [ReceiptRecord]) -> [ReceiptRecord] {
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
