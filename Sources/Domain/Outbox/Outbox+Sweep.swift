package import Foundation
import Postgres
import Primitives

extension Outbox {
    private static let sweepLimit = 500

    /// Ends or gives back what is overdue, whoever left it: messages past their time expire, claims that ended go back (too often, and
    /// the message is poison), and what was on the wire without an answer and may not be written again becomes `unconfirmed`, at the latest when its
    /// sender has been logged out for `SenderState.loggedOutGrace`. Any node may do it, any number at once.
    /// Does a bounded piece of work; call again at once while `total` is not 0.
    package func sweep(now: Date) async throws -> Swept {
        let accounts = try await databases.engine.query(
            "outbox.dueAccounts", "SELECT account_id FROM gateway_due_accounts(\(now), \(Self.unlinkedBefore(now)), \(Int32(Self.sweepLimit)))"
        ) { try $0.column("account_id", as: Account.ID.self) }
        guard !accounts.isEmpty else { return Swept() }
        Failpoint.hit(.sweepBegin)
        let ended = try await databases.engine.query(
            "outbox.sweep", Settlement.statement(victims: Self.overdue(now), now: now), settings: Databases.accounts(accounts)
        ) { try $0.state("state") as MessageState }
        var swept = Swept()
        swept.expired = ended.count { $0 == .expired }
        swept.poisoned = ended.count { $0 == .failed }
        swept.unconfirmed = ended.count { $0 == .unconfirmed }
        Failpoint.hit(.swept)
        if swept.expired > 0 { Failpoint.hit(.expired) }
        if swept.unconfirmed > 0 { Failpoint.hit(.unconfirmed) }
        swept.returned = try await giveBack(accounts, now)
        return swept
    }

    private func giveBack(_ accounts: [Account.ID], _ now: Date) async throws -> Int {
        try await databases.engine.execute(
            "outbox.giveBack",
            """
            WITH overdue AS (
                SELECT b.account_id, b.message_id, \(Self.ownerLives) AS is_late
                FROM outbox b
                JOIN sender_leases l ON l.account_id = b.account_id AND l.sender_id = b.sender_id
                WHERE b.state = 'prepared' AND b.deadline <= \(now) AND b.expires_at > \(now) AND (b.claims < \(Self.claimLimit) OR \(Self.ownerLives))
                ORDER BY b.deadline
                LIMIT \(Self.sweepLimit)
                FOR UPDATE OF b SKIP LOCKED
            )
            UPDATE outbox b SET state = 'accepted', deadline = NULL, claims = b.claims - overdue.is_late::int
            FROM overdue
            WHERE b.account_id = overdue.account_id AND b.message_id = overdue.message_id
            """, settings: Databases.walks(accounts))
    }

    /// Whoever claimed it has renewed the lease twice since, so the process lives: the claim took too long, but it is no strike.
    private static let ownerLives: SQL = "(l.epoch = b.epoch AND l.beats >= b.beat + 2)"

    private static func unlinkedBefore(_ now: Date) -> Date { now.addingTimeInterval(-SenderState.loggedOutGrace) }

    private static func overdue(_ now: Date) -> SQL {
        """
        SELECT b.account_id, b.message_id,
            CASE
                WHEN b.state = 'on_wire' THEN 'unconfirmed'
                WHEN b.expires_at <= \(now) THEN 'expired'
                ELSE 'failed'
            END AS new_state,
            CASE
                WHEN s.state = 'removed' AND (b.state = 'on_wire' OR b.expires_at > \(now)) THEN 'sender_removed'
                WHEN b.state = 'on_wire' THEN 'no_acknowledgement'
                WHEN b.expires_at <= \(now) THEN NULL
                ELSE 'poison'
            END AS failure_code
        FROM outbox b
        JOIN senders s ON s.account_id = b.account_id AND s.sender_id = b.sender_id
        JOIN sender_leases l ON l.account_id = b.account_id AND l.sender_id = b.sender_id
        WHERE b.state IN ('scheduled', 'hold', 'accepted') AND b.expires_at <= \(now)
           OR b.state = 'prepared' AND b.deadline <= \(now) AND (b.claims >= \(claimLimit) AND NOT \(ownerLives) OR b.expires_at <= \(now))
           OR b.state = 'on_wire' AND b.deadline <= \(now) AND (b.attempts >= \(wireLimit) OR b.expires_at <= \(now) OR b.at_most_once)
           -- Unlinked by WhatsApp, and the time to log in again is over: its credentials go, nobody can write it again.
           OR s.state = 'logged_out' AND s.state_since <= \(unlinkedBefore(now)) AND b.state = 'on_wire'
           -- A movable message of which nothing has left gets another sender (`move`), or fails there.
           OR s.state = 'removed' AND NOT (b.movable AND b.state IN ('scheduled', 'accepted', 'prepared'))
        ORDER BY b.message_id
        LIMIT \(sweepLimit)
        FOR UPDATE OF b SKIP LOCKED
        """
    }
}
