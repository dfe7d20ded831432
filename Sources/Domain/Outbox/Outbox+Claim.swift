package import Foundation
import Postgres
import Primitives

/// What a dispatcher wants of one sender.
package struct ClaimDemand: Sendable {
    package let owner: OwnedSender
    /// Messages at most.
    package let places: Int
    /// Of the highest priority only: the other places are taken.
    package let highOnly: Bool
    /// Its limits were found to matter: the answer says how it stands.
    package let isLimited: Bool

    package init(owner: OwnedSender, places: Int, highOnly: Bool = false, isLimited: Bool = false) {
        self.owner = owner
        self.places = places
        self.highOnly = highOnly
        self.isLimited = isLimited
    }
}

/// Claimed messages, and how the limited senders among those asked about stood at that moment.
package struct Claim: Sendable {
    package var messages: [ClaimedMessage] = []
    package var standings: [SenderStanding] = []
}

/// A sender that has something for the wire.
package struct Probed: Sendable {
    package let owner: OwnedSender
    /// Messages are due.
    package let isDue: Bool
    /// Messages are on the wire, without an answer in time or of an earlier epoch: due again under their ids.
    package let isDueAgain: Bool
    /// Messages are due that were in the hands of a process which died.
    package let isSuspect: Bool
}

extension Outbox {
    /// Takes due messages of senders that this node owns: at most `perSender` of each, oldest first within priority, at most `limit` in all.
    /// Also takes those on the wire whose acknowledgement is overdue, or whose earlier owner is gone, for a resend under the same id.
    /// One of them at most is a suspect. Each stays ours until `deadline`; then a sweep gives it back. A sender that is being removed, or that is
    /// paused, gives nothing.
    package func claim(limit: Int, perSender: Int = 8, owned: [OwnedSender], now: Date, deadline: Date) async throws -> [ClaimedMessage] {
        var taken = try await claimAgain(limit: limit, perSender: perSender, owned: owned, now: now, deadline: deadline)
        for lot in [Lot.suspect, .unsuspected] {
            let demands = owned.map { owner in ClaimDemand(owner: owner, places: perSender - taken.count { $0.owner == owner }) }
            taken += try await claim(demands, of: lot, limit: limit - taken.count, now: now, deadline: deadline).messages
        }
        return taken
    }

    /// What is claimed together. A **suspect** was in the hands of a process when it died, and may have killed it: it is claimed alone, and whoever
    /// has it claims no other suspect before it has left, so that it takes none with it (reliability.md §2.7).
    package enum Lot: Sendable { case unsuspected, suspect }

    /// Takes due messages as `demands` ask, at most `limit` in all and one suspect; earlier demands go first.
    package func claim(_ demands: [ClaimDemand], of lot: Lot = .unsuspected, limit: Int, now: Date, deadline: Date) async throws -> Claim {
        let demands = demands.filter { $0.places > 0 }
        let limit = lot == .suspect ? min(1, limit) : limit
        guard !demands.isEmpty, limit > 0 else { return Claim() }
        Failpoint.hit(.claimBegin)
        let limited = demands.filter(\.isLimited).map(\.owner.place)
        let statements =
            [Statement("outbox.claim", Self.claimStatement(lot, demands, limit, now, deadline))]
            + (limited.isEmpty ? [] : [Statement("outbox.standings", SenderStanding.query(limited, isPaced: isPaced))])
        let results = try await databases.engine.transaction(Databases.walks(demands.map(\.owner.account))) {
            try await $0.commit(with: statements)
        }
        var claim = Claim()
        claim.messages = try await open(try results[0].rows(as: ClaimedRow.init), now: now, deadline: deadline)
        if results.count > 1 { claim.standings = try results[1].rows(as: SenderStanding.init) }
        return claim
    }

    /// Takes messages on the wire that are due again: overdue, or left by an earlier epoch.
    package func claimAgain(limit: Int, perSender: Int = 8, owned: [OwnedSender], now: Date, deadline: Date) async throws -> [ClaimedMessage] {
        guard !owned.isEmpty, limit > 0 else { return [] }
        let rows = try await databases.engine.query(
            "outbox.claimAgain", Self.claimAgainStatement(limit, perSender, owned, now, deadline), settings: Databases.walks(owned.map(\.account)),
            as: ClaimedRow.init)
        return try await open(rows, now: now, deadline: deadline)
    }

    /// Which of these senders have something to send; takes nothing. Three looks into partial indexes per sender.
    package func probe(_ owned: [OwnedSender], now: Date) async throws -> [Probed] {
        guard !owned.isEmpty else { return [] }
        return try await databases.engine.query(
            "outbox.probe",
            """
            SELECT o.account_id, o.sender_id, o.epoch, waiting.found IS NOT NULL AS due, overdue.found IS NOT NULL AS again,
                suspect.found IS NOT NULL AS suspect
            FROM \(owned.rows)
            LEFT JOIN LATERAL (
                SELECT 1 AS found
                FROM unnest('{0,1,2}'::smallint[]) AS lane
                CROSS JOIN LATERAL (
                    SELECT
                    FROM outbox b
                    WHERE b.account_id = o.account_id AND b.sender_id = o.sender_id AND b.state = 'accepted' AND b.priority = lane
                      AND b.due_at <= \(now)
                    ORDER BY b.due_at, b.message_id
                    LIMIT 1
                ) b
                LIMIT 1
            ) waiting ON true
            LEFT JOIN LATERAL (
                SELECT 1 AS found
                FROM outbox b
                WHERE b.account_id = o.account_id AND b.sender_id = o.sender_id AND b.state = 'on_wire'
                  AND (b.deadline <= \(now) OR b.epoch < o.epoch)
                ORDER BY b.deadline
                LIMIT 1
            ) overdue ON true
            LEFT JOIN LATERAL (
                SELECT 1 AS found
                FROM outbox b
                WHERE b.account_id = o.account_id AND b.sender_id = o.sender_id AND \(Self.isSuspect) AND b.due_at <= \(now)
                ORDER BY b.priority, b.due_at, b.message_id
                LIMIT 1
            ) suspect ON true
            WHERE waiting.found IS NOT NULL OR overdue.found IS NOT NULL
            """, settings: Databases.walks(owned.map(\.account)), access: .readOnly
        ) { row in
            Probed(
                owner: OwnedSender(account: try row["account_id"], sender: try row["sender_id"], epoch: try row["epoch"]), isDue: try row["due"],
                isDueAgain: try row["again"], isSuspect: try row["suspect"])
        }
    }

    /// How these senders stand, as far as limits or health hold them back; the others are missing from the answer.
    package func standings(_ owned: [OwnedSender]) async throws -> [SenderStanding] {
        guard !owned.isEmpty else { return [] }
        return try await databases.engine.query(
            "outbox.standings", SenderStanding.query(owned.map(\.place), isPaced: isPaced), settings: Databases.accounts(owned.map(\.account)),
            access: .readOnly,
            as: SenderStanding.init)
    }

    /// Gives back claimed messages that may not leave yet: due again at `until`, and the claim does not count.
    package func postpone(_ postponed: [Postponed]) async throws {
        guard !postponed.isEmpty else { return }
        try await databases.engine.execute(
            "outbox.postpone", Self.postponeStatement(postponed), settings: Databases.accounts(postponed.map(\.owner.account)))
    }

    static func postponeStatement(_ postponed: [Postponed]) -> SQL {
        """
        WITH input AS (
            SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.until
            FROM unnest(\(postponed.map(\.owner.account)), \(postponed.map(\.owner.sender)), \(postponed.map(\.owner.epoch)),
                \(postponed.map(\.message)), \(postponed.map(\.until))) AS i (account_id, sender_id, epoch, message_id, until)
        ),
        \(held)
        UPDATE outbox b SET state = 'accepted', deadline = NULL, due_at = i.until, claims = greatest(0, b.claims - 1)
        FROM mine i
        WHERE b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id AND b.epoch = i.epoch AND \(state) = 'prepared'
        """
    }

    // MARK: Opening

    private func open(_ rows: [ClaimedRow], now: Date, deadline: Date) async throws -> [ClaimedMessage] {
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

    // MARK: Statements

    /// In words that only the suspects' own index knows.
    private static let isSuspect: SQL = "b.deadline IS NULL AND b.claims > 0 AND \(state) = 'accepted'"

    /// The leases are locked, or a take-over could pass between reading them and writing the rows. Each sender's rows are walked priority by
    /// priority, since those due later stand between them in the index; the inner limit stops the walk. Materialised, so that rows are locked and
    /// counted once.
    static func claimStatement(_ lot: Lot, _ demands: [ClaimDemand], _ limit: Int, _ now: Date, _ deadline: Date) -> SQL {
        let isOfLot: SQL = lot == .suspect ? isSuspect : "b.state = 'accepted' AND b.claims = 0"
        return """
            WITH input AS MATERIALIZED (
                SELECT d.account_id, d.sender_id, d.epoch, d.places, d.priorities, d.turn
                FROM unnest(\(demands.map(\.owner.account)), \(demands.map(\.owner.sender)), \(demands.map(\.owner.epoch)), \(demands.map(\.places)),
                    \(demands.map { Int16($0.highOnly ? 1 : 3) })) WITH ORDINALITY AS d (account_id, sender_id, epoch, places, priorities, turn)
            ),
            \(held),
            wanted AS MATERIALIZED (
                SELECT d.account_id, d.sender_id, d.epoch, d.places, d.priorities, d.turn, d.beats
                FROM mine d
                JOIN senders s ON s.account_id = d.account_id AND s.sender_id = d.sender_id
                LEFT JOIN sender_health h ON h.account_id = d.account_id AND h.sender_id = d.sender_id
                LEFT JOIN sender_usage u ON u.account_id = d.account_id AND u.sender_id = d.sender_id
                WHERE s.state NOT IN ('removing', 'removed') AND (h.paused_until IS NULL OR h.paused_until <= \(now))
                  AND (u.next_at IS NULL OR u.next_at <= \(now))
                ORDER BY d.turn
            ),
            due AS MATERIALIZED (
                SELECT b.account_id, b.message_id, w.epoch, w.beats
                FROM wanted w
                CROSS JOIN LATERAL (
                    SELECT b.account_id, b.message_id
                    FROM unnest('{0,1,2}'::smallint[]) AS lane
                    CROSS JOIN LATERAL (
                        SELECT b.account_id, b.message_id
                        FROM outbox b
                        WHERE b.account_id = w.account_id AND b.sender_id = w.sender_id AND b.priority = lane
                          AND b.due_at <= \(now) AND b.expires_at > \(now) AND \(isOfLot)
                        ORDER BY b.due_at, b.message_id
                        LIMIT w.places
                        FOR UPDATE SKIP LOCKED
                    ) b
                    WHERE lane < w.priorities
                    LIMIT w.places
                ) b
                LIMIT \(limit)
            ),
            taken AS (
                UPDATE outbox b SET state = 'prepared', epoch = due.epoch, deadline = \(deadline), claims = b.claims + 1, beat = due.beats,
                    claimed_at = \(now)
                FROM due
                WHERE b.account_id = due.account_id AND b.message_id = due.message_id
                RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.wire_id, b.attempts, b.refusals, b.expires_at, b.preview_url, b.movable,
                    false AS on_wire, b.due_at, b.claimed_at
            )
            \(claimedRows(now))
            """
    }

    static func claimAgainStatement(_ limit: Int, _ perSender: Int, _ owned: [OwnedSender], _ now: Date, _ deadline: Date) -> SQL {
        """
        WITH input AS MATERIALIZED (
            SELECT o.account_id, o.sender_id, o.epoch FROM \(owned.rows)
        ),
        \(held),
        wanted AS MATERIALIZED (
            SELECT l.account_id, l.sender_id, l.epoch
            FROM mine l
            JOIN senders s ON s.account_id = l.account_id AND s.sender_id = l.sender_id
            LEFT JOIN sender_health h ON h.account_id = l.account_id AND h.sender_id = l.sender_id
            WHERE s.state NOT IN ('removing', 'removed') AND (h.paused_until IS NULL OR h.paused_until <= \(now))
        ),
        again AS MATERIALIZED (
            SELECT b.account_id, b.message_id, w.epoch
            FROM wanted w
            CROSS JOIN LATERAL (
                SELECT b.account_id, b.message_id
                FROM outbox b
                WHERE b.account_id = w.account_id AND b.sender_id = w.sender_id AND b.state = 'on_wire'
                  AND (b.deadline <= \(now) OR b.epoch < w.epoch)
                  AND b.attempts < \(wireLimit) AND b.expires_at > \(now) AND NOT b.at_most_once
                ORDER BY b.deadline
                LIMIT \(perSender)
                FOR UPDATE SKIP LOCKED
            ) b
            LIMIT \(limit)
        ),
        taken AS (
            UPDATE outbox b SET epoch = again.epoch, deadline = \(deadline), claimed_at = \(now)
            FROM again
            WHERE b.account_id = again.account_id AND b.message_id = again.message_id
            RETURNING b.account_id, b.message_id, b.sender_id, b.epoch, b.wire_id, b.attempts, b.refusals, b.expires_at, b.preview_url, b.movable,
                true AS on_wire, b.due_at, b.claimed_at
        )
        \(claimedRows(now))
        """
    }

    /// What `ClaimedRow` reads, of the rows in `taken`.
    private static func claimedRows(_ now: Date) -> SQL {
        """
        SELECT t.account_id, t.message_id, t.sender_id, t.epoch, t.wire_id, t.attempts, t.refusals, t.expires_at, t.preview_url, t.movable, t.on_wire,
            t.due_at, t.claimed_at, m.recipient_sealed, m.recipient_index, m.send_nonce, m.test, m.priority, m.created_at, d.sealed AS body_sealed, d.unstored,
            r.last_at IS NULL AS cold, r.last_at IS NULL OR r.last_at < \(now) - interval '1 day' AS greeting_due,
            coalesce(s.limited, false) OR p.pool_id IS NOT NULL AS limited, p.pool_id AS limited_pool
        FROM taken t
        JOIN messages m ON m.account_id = t.account_id AND m.message_id = t.message_id
        LEFT JOIN LATERAL (
            SELECT d.sealed, d.unstored FROM message_bodies d WHERE d.account_id = t.account_id AND d.message_id = t.message_id OFFSET 0
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT NOT s.test OR s.limits <> '{}' AS limited FROM senders s WHERE s.account_id = t.account_id AND s.sender_id = t.sender_id OFFSET 0
        ) s ON true
        LEFT JOIN LATERAL (
            SELECT r.last_at
            FROM sender_recipients r
            WHERE r.account_id = t.account_id AND r.recipient_index = m.recipient_index AND r.sender_id = t.sender_id
            OFFSET 0
        ) r ON true
        LEFT JOIN LATERAL (
            SELECT p.pool_id FROM pools p WHERE p.account_id = t.account_id AND p.pool_id = m.pool_id AND p.limits <> '{}' OFFSET 0
        ) p ON true
        ORDER BY m.priority, t.due_at, t.message_id
        """
    }
}
