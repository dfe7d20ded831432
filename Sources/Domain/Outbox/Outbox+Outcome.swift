package import Foundation
import Postgres

extension Outbox {
    /// The server took it: `sent`, in a commit shared with others. False: it was not open under that id any more.
    package func acknowledge(_ taken: Acknowledged, now: Date) async throws -> Bool {
        try await acknowledgements.submit((taken, now))
    }

    static func commit(_ batch: [(Acknowledged, now: Date)], in engine: Database) async throws -> [Result<Bool, any Error>] {
        let now = batch.map(\.now).max() ?? .distantPast
        let moved = Set(try await acknowledge(batch.map(\.0), now: now, in: engine))
        return batch.map { .success(moved.contains($0.0.message)) }
    }

    private static func acknowledge(_ taken: [Acknowledged], now: Date, in engine: Database) async throws -> [Message.ID] {
        try await engine.query(
            "outbox.acknowledge",
            """
            WITH input AS (
                SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.wire_id
                FROM unnest(\(taken.map(\.owner.account)), \(taken.map(\.owner.sender)), \(taken.map(\.owner.epoch)), \(taken.map(\.message)),
                    \(taken.map(\.wireID))) AS i (account_id, sender_id, epoch, message_id, wire_id)
            ),
            \(held),
            gone AS (
                DELETE FROM outbox b USING input i, held
                WHERE held.account_id = i.account_id AND held.sender_id = i.sender_id AND held.epoch = i.epoch
                  AND b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id AND b.wire_id = i.wire_id
                  AND b.state = 'on_wire'
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at
            ),
            moved AS (
                UPDATE messages m SET state = 'sent', sent_at = \(now), settled_at = \(now), events = m.events + 1
                FROM gone
                WHERE m.account_id = gone.account_id AND m.message_id = gone.message_id
                RETURNING m.account_id, m.message_id, m.events
            ),
            told AS (
                INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
                SELECT account_id, message_id, events, gateway_uuid7(\(now)), 'sent', \(now) FROM moved
            ),
            tried AS (
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'acknowledged' FROM gone
                ON CONFLICT (account_id, message_id, attempt) DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome
            )
            SELECT message_id FROM moved ORDER BY message_id
            """, settings: Databases.accounts(taken.map(\.owner.account)), as: { try $0["message_id"] })
    }

    /// These were certainly not delivered: refused by the server (from `on_wire`), or given up before anything left (from `prepared`).
    /// With `retryAt` within the message's life it becomes due again then, else it fails. Returns those that were changed.
    package func refused(_ refusals: [Refused], now: Date) async throws -> [Message.ID] {
        guard !refusals.isEmpty else { return [] }
        return try await databases.engine.query(
            "outbox.refused",
            """
            WITH input AS (
                SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.failure_code, i.server_code, i.retry_at
                FROM unnest(\(refusals.map(\.owner.account)), \(refusals.map(\.owner.sender)), \(refusals.map(\.owner.epoch)),
                    \(refusals.map(\.message)), \(refusals.map(\.failure.rawValue)),
                    \(refusals.map { $0.serverCode.map(Int32.init(clamping:)) }), \(refusals.map(\.retryAt)))
                    AS i (account_id, sender_id, epoch, message_id, failure_code, server_code, retry_at)
            ),
            \(Self.held),
            hit AS MATERIALIZED (
                SELECT b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at, b.state = 'on_wire' AS was_on_wire,
                    i.failure_code, i.server_code, i.retry_at, coalesce(i.retry_at < b.expires_at, false) AS again
                FROM outbox b
                JOIN input i ON i.account_id = b.account_id AND i.message_id = b.message_id AND i.sender_id = b.sender_id
                JOIN held ON held.account_id = i.account_id AND held.sender_id = i.sender_id AND held.epoch = i.epoch
                WHERE b.state IN ('prepared', 'on_wire') AND b.epoch = i.epoch
                ORDER BY b.account_id, b.message_id
                FOR UPDATE OF b
            ),
            later AS (
                UPDATE outbox b
                SET state = 'accepted', refusals = b.refusals + hit.was_on_wire::int, claims = 0, due_at = hit.retry_at, deadline = NULL
                FROM hit
                WHERE hit.again AND b.account_id = hit.account_id AND b.message_id = hit.message_id
            ),
            over AS (
                DELETE FROM outbox b USING hit
                WHERE NOT hit.again AND b.account_id = hit.account_id AND b.message_id = hit.message_id
            ),
            moved AS (
                UPDATE messages m
                SET state = CASE WHEN hit.again THEN 'accepted' ELSE 'failed' END, refusals = m.refusals + hit.was_on_wire::int,
                    failure_code = CASE WHEN hit.again THEN NULL ELSE hit.failure_code END,
                    settled_at = CASE WHEN hit.again THEN NULL ELSE \(now) END,
                    events = m.events + (hit.was_on_wire OR NOT hit.again)::int
                FROM hit
                WHERE m.account_id = hit.account_id AND m.message_id = hit.message_id
                RETURNING m.account_id, m.message_id, m.events, hit.again, hit.was_on_wire, hit.failure_code
            ),
            told AS (
                INSERT INTO message_events (account_id, message_id, number, event_id, kind, failure_code, at)
                SELECT account_id, message_id, events, gateway_uuid7(\(now)), CASE WHEN again THEN 'retrying' ELSE 'failed' END, failure_code, \(now)
                FROM moved
                WHERE was_on_wire OR NOT again
            ),
            tried AS (
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome, server_code)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'refused', server_code FROM hit WHERE was_on_wire
                ON CONFLICT (account_id, message_id, attempt) DO UPDATE
                SET ended_at = excluded.ended_at, outcome = excluded.outcome, server_code = excluded.server_code
            )
            SELECT message_id FROM moved ORDER BY message_id
            """, settings: Databases.accounts(refusals.map(\.owner.account)), as: { try $0["message_id"] })
    }

    /// No answer came for these, and their bytes may have left: they stay `on_wire` and are due again at `retryAt`, with the same id; when the
    /// budget is used up a sweep makes them `unconfirmed`. Returns those that were changed.
    package func unknown(_ unanswered: [Unknown], now: Date) async throws -> [Message.ID] {
        guard !unanswered.isEmpty else { return [] }
        return try await databases.engine.query(
            "outbox.unknown",
            """
            WITH input AS (
                SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.retry_at
                FROM unnest(\(unanswered.map(\.owner.account)), \(unanswered.map(\.owner.sender)), \(unanswered.map(\.owner.epoch)),
                    \(unanswered.map(\.message)), \(unanswered.map(\.retryAt))) AS i (account_id, sender_id, epoch, message_id, retry_at)
            ),
            \(Self.held),
            due AS (
                UPDATE outbox b SET deadline = i.retry_at
                FROM input i, held
                WHERE held.account_id = i.account_id AND held.sender_id = i.sender_id AND held.epoch = i.epoch
                  AND b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id AND b.epoch = i.epoch
                  AND b.state = 'on_wire'
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at
            ),
            tried AS (
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'unknown' FROM due
                ON CONFLICT (account_id, message_id, attempt) DO NOTHING
            )
            SELECT message_id FROM due ORDER BY message_id
            """, settings: Databases.accounts(unanswered.map(\.owner.account)), as: { try $0["message_id"] })
    }

    /// The senders of `input` that are still ours, locked against a take-over until the end of the transaction.
    static var held: SQL {
        """
        held AS MATERIALIZED (
            SELECT l.account_id, l.sender_id, l.epoch
            FROM sender_leases l
            WHERE (l.account_id, l.sender_id, l.epoch) IN (SELECT account_id, sender_id, epoch FROM input)
            ORDER BY l.account_id, l.sender_id
            FOR SHARE
        )
        """
    }
}
