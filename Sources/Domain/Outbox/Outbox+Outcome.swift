package import Foundation
import Postgres
import Primitives

extension Outbox {
    /// The server took it: `sent`, in a commit shared with others. False: it was not open under that id any more.
    package func acknowledge(_ taken: Acknowledged, now: Date) async throws -> Bool {
        try await !reports.submit((.acknowledged(taken), now)).isEmpty
    }

    static func acknowledgeStatement(_ taken: [Acknowledged], now: Date) -> Statement {
        Statement(
            "outbox.acknowledge",
            """
            WITH input AS (
                SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.wire_id, i.resolve_ms, i.encrypt_ms, i.commit_ms
                FROM unnest(\(taken.map(\.owner.account)), \(taken.map(\.owner.sender)), \(taken.map(\.owner.epoch)), \(taken.map(\.message)),
                    \(taken.map(\.wireID)), \(taken.map { $0.timings?.resolve.wholeMilliseconds }), \(taken.map { $0.timings?.encrypt.wholeMilliseconds }),
                    \(taken.map { $0.timings?.commit.wholeMilliseconds }))
                    AS i (account_id, sender_id, epoch, message_id, wire_id, resolve_ms, encrypt_ms, commit_ms)
            ),
            \(held),
            gone AS (
                DELETE FROM outbox b USING mine i
                WHERE b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id AND b.wire_id = i.wire_id
                  AND \(Self.state) = 'on_wire'
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at, b.due_at, b.claimed_at, i.resolve_ms, i.encrypt_ms,
                    i.commit_ms
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
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome, due_at, claimed_at,
                    resolve_ms, encrypt_ms, commit_ms)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'acknowledged', due_at, claimed_at, resolve_ms, encrypt_ms,
                    commit_ms
                FROM gone
                ON CONFLICT (account_id, message_id, attempt) DO UPDATE
                SET ended_at = excluded.ended_at, outcome = excluded.outcome, resolve_ms = excluded.resolve_ms, encrypt_ms = excluded.encrypt_ms,
                    commit_ms = excluded.commit_ms
            )
            SELECT message_id FROM moved ORDER BY message_id
            """)
    }

    /// These were certainly not delivered: refused by the server (from `on_wire`), or given up before anything left (from `prepared`). Each takes
    /// its `course`; what it says about the sender is recorded with it. Returns those that were changed.
    package func refused(_ refusals: [Refused], now: Date) async throws -> [Message.ID] {
        guard !refusals.isEmpty else { return [] }
        Failpoint.hit(.refusalBegin)
        var findings: [Statement] = []
        for refusal in refusals { if let finding = refusal.health { findings.append(Health.statement(finding, of: refusal.owner, now: now)) } }
        // The sender's pause first: the message's next time depends on it.
        let statements = findings + [Statement("outbox.refused", Self.refusedStatement(refusals, now))]
        let results = try await databases.engine.transaction(Databases.accounts(refusals.map(\.owner.account))) {
            try await $0.commit(with: statements)
        }
        let changed = try results[findings.count].rows(as: { try $0.column("message_id", as: Message.ID.self) })
        Failpoint.hit(.refused)
        return changed
    }

    private static func refusedStatement(_ refusals: [Refused], _ now: Date) -> SQL {
        """
        WITH input AS (
            SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.attempts, i.failure_code, i.server_code, i.course, i.retry_at
            FROM unnest(\(refusals.map(\.owner.account)), \(refusals.map(\.owner.sender)), \(refusals.map(\.owner.epoch)),
                \(refusals.map(\.message)), \(refusals.map { $0.attempts.map(Int32.init(clamping:)) }), \(refusals.map(\.failure.rawValue)),
                \(refusals.map { $0.serverCode.map(Int32.init(clamping:)) }), \(refusals.map(\.course.name)), \(refusals.map(\.course.retryAt)))
                AS i (account_id, sender_id, epoch, message_id, attempts, failure_code, server_code, course, retry_at)
        ),
        \(held),
        open AS MATERIALIZED (
            SELECT b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at, b.due_at, b.claimed_at, b.expires_at, b.movable,
                b.state = 'on_wire' AS was_on_wire, i.failure_code, i.server_code, i.course,
                CASE i.course
                    WHEN 'retry' THEN greatest(i.retry_at, (
                        SELECT h.paused_until FROM sender_health h WHERE h.account_id = b.account_id AND h.sender_id = b.sender_id))
                    WHEN 'once' THEN CASE WHEN NOT EXISTS (
                        SELECT FROM message_attempts t
                        WHERE t.account_id = b.account_id AND t.message_id = b.message_id AND t.sender_id = b.sender_id
                          AND t.server_code = i.server_code) THEN i.retry_at END
                    WHEN 'elsewhere' THEN CASE WHEN b.movable THEN b.expires_at END
                END AS next_at
            FROM outbox b
            JOIN mine i ON i.account_id = b.account_id AND i.message_id = b.message_id AND i.sender_id = b.sender_id
            WHERE \(state) IN ('prepared', 'on_wire') AND b.epoch = i.epoch AND b.attempts = coalesce(i.attempts, b.attempts)
            ORDER BY b.account_id, b.message_id
            FOR UPDATE OF b
        ),
        hit AS (
            SELECT open.*, course <> 'end' AND coalesce(next_at < expires_at OR movable, false) AS again FROM open
        ),
        later AS (
            UPDATE outbox b
            SET state = 'accepted', refusals = b.refusals + hit.was_on_wire::int, claims = 0, due_at = least(hit.next_at, b.expires_at),
                deadline = NULL,
                excluded = CASE WHEN hit.course IN ('once', 'elsewhere') THEN array_remove(b.excluded, b.sender_id) || b.sender_id ELSE b.excluded END,
                route_checked_at = '-infinity'
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
                failure_code = CASE WHEN NOT hit.again THEN hit.failure_code END, settled_at = CASE WHEN NOT hit.again THEN \(now)::timestamptz END,
                events = m.events + 1
            FROM hit
            WHERE m.account_id = hit.account_id AND m.message_id = hit.message_id AND (hit.was_on_wire OR NOT hit.again)
            RETURNING m.account_id, m.message_id, m.sender_id, m.recipient_index, m.events, hit.again, hit.failure_code, hit.course
        ),
        told AS (
            INSERT INTO message_events (account_id, message_id, number, event_id, kind, failure_code, at)
            SELECT account_id, message_id, events, gateway_uuid7(\(now)), CASE WHEN again THEN 'retrying' ELSE 'failed' END, failure_code, \(now)
            FROM moved
        ),
        tried AS (
            INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome, server_code, due_at, claimed_at)
            SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'refused', server_code, due_at, claimed_at
            FROM hit
            WHERE was_on_wire
            ON CONFLICT (account_id, message_id, attempt) DO UPDATE
            SET ended_at = excluded.ended_at, outcome = excluded.outcome, server_code = excluded.server_code
        ),
        never AS (
            INSERT INTO sender_recipients (account_id, recipient_index, sender_id, first_at, last_at, refused_at)
            SELECT DISTINCT account_id, recipient_index, sender_id, \(now)::timestamptz, \(now)::timestamptz, \(now)::timestamptz
            FROM moved
            WHERE course = 'elsewhere'
            ORDER BY account_id, recipient_index, sender_id
            ON CONFLICT (account_id, recipient_index, sender_id) DO UPDATE
            SET refused_at = excluded.refused_at
        )
        SELECT message_id FROM hit ORDER BY message_id
        """
    }

    /// No answer came for these, and their bytes may have left: they stay `on_wire` and are due again at `retryAt`, with the same id; when the
    /// budget is used up a sweep makes them `unconfirmed`. Returns those that were changed.
    package func unknown(_ unanswered: [Unknown], now: Date) async throws -> [Message.ID] {
        guard !unanswered.isEmpty else { return [] }
        Failpoint.hit(.unknownBegin)
        let changed = try await databases.engine.query(
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
                FROM mine i
                WHERE b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id AND b.epoch = i.epoch
                  AND \(Self.state) = 'on_wire'
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.attempts, b.wire_at, b.due_at, b.claimed_at
            ),
            tried AS (
                INSERT INTO message_attempts (account_id, message_id, attempt, sender_id, epoch, wire_at, ended_at, outcome, due_at, claimed_at)
                SELECT account_id, message_id, attempts, sender_id, epoch, wire_at, \(now), 'unknown', due_at, claimed_at FROM due
                ON CONFLICT (account_id, message_id, attempt) DO NOTHING
            )
            SELECT message_id FROM due ORDER BY message_id
            """, settings: Databases.accounts(unanswered.map(\.owner.account)), as: { try $0.column("message_id", as: Message.ID.self) })
        Failpoint.hit(.unknown)
        return changed
    }

    // These tables grow from empty to millions of rows and back, and plans are kept, so no plan may depend on what was in them when it was made:
    // wherever a row is found by its key, that key's index is the only way there is. Each table is therefore joined to one other relation, by its
    // whole key.

    /// The state of `outbox b` where its row is found by its key: no partial index offers itself for this.
    static var state: SQL { "(b.state || '')" }

    /// The senders of `input` that are still ours, locked against a take-over until the end of the transaction; and their rows as `mine`.
    static var held: SQL {
        """
        held AS MATERIALIZED (
            SELECT l.account_id, l.sender_id, l.epoch, l.beats
            FROM (SELECT DISTINCT account_id, sender_id, epoch FROM input) AS i
            JOIN sender_leases l ON l.account_id = i.account_id AND l.sender_id = i.sender_id AND l.epoch = i.epoch
            ORDER BY l.account_id, l.sender_id
            FOR SHARE OF l
        ),
        mine AS MATERIALIZED (
            SELECT i.*, held.beats
            FROM input i
            JOIN held ON held.account_id = i.account_id AND held.sender_id = i.sender_id AND held.epoch = i.epoch
        )
        """
    }
}

extension Refused.Course {
    fileprivate var name: String {
        switch self {
        case .end: "end"
        case .retry: "retry"
        case .once: "once"
        case .elsewhere: "elsewhere"
        }
    }

    fileprivate var retryAt: Date? {
        switch self {
        case .retry(let at), .once(let at): at
        case .end, .elsewhere: nil
        }
    }
}

extension Duration {
    /// Rounded to the nearest; never negative.
    fileprivate var wholeMilliseconds: Int32 { Int32(clamping: Int64(max(0, (self / .milliseconds(1)).rounded()))) }
}
