package import Foundation
import Postgres

/// A sender held by this process, with what it should do about it.
package struct LeasedSender: Sendable {
    package let owner: OwnedSender
    package let state: SenderState
    package let isTest: Bool
    /// A pairing is wanted since then.
    package let pairingRequestedAt: Date?
}

/// Who may connect a sender: one holder at a time, under an epoch that counts up at each take-over (reliability.md §2.5).
/// Only the database's clock decides what has expired. `node` names one start of one process, never a machine.
package struct Leases: Sendable {
    let database: Database

    package static let defaultTTL: Duration = .seconds(30)

    /// Takes up to `limit` senders that nobody holds. What an earlier holder had prepared becomes claimable again at once: nothing of it left.
    package func acquire(node: String, limit: Int, ttl: Duration = defaultTTL) async throws -> [LeasedSender] {
        let free = try await database.query("leases.free", "SELECT account_id, sender_id FROM gateway_free_senders(\(Int32(clamping: limit)))") {
            (account: try $0.column("account_id", as: Account.ID.self), sender: try $0.column("sender_id", as: Sender.ID.self))
        }
        guard !free.isEmpty else { return [] }
        let accounts = free.map(\.account)
        let senders = free.map(\.sender)
        return try await database.transaction(Databases.accounts(accounts)) { transaction in
            let taken = try await transaction.query(
                "leases.acquire",
                """
                WITH free AS (
                    SELECT l.account_id, l.sender_id
                    FROM sender_leases l
                    JOIN unnest(\(accounts), \(senders)) AS w (account_id, sender_id) ON w.account_id = l.account_id AND w.sender_id = l.sender_id
                    WHERE l.holder IS NULL OR l.expires_at < clock_timestamp()
                    ORDER BY l.account_id, l.sender_id
                    FOR UPDATE OF l SKIP LOCKED
                ),
                taken AS (
                    UPDATE sender_leases l
                    SET holder = \(node), epoch = l.epoch + 1, acquired_at = clock_timestamp(),
                        expires_at = clock_timestamp() + make_interval(secs => \(ttl.seconds))
                    FROM free
                    WHERE l.account_id = free.account_id AND l.sender_id = free.sender_id
                    RETURNING l.account_id, l.sender_id, l.epoch
                )
                \(Self.leased)
                """, as: Self.read)
            _ = try await transaction.lastStatement(
                "leases.returnPrepared",
                """
                WITH freed AS (
                    UPDATE outbox b SET state = 'accepted', deadline = NULL
                    FROM unnest(\(taken.map(\.owner.account)), \(taken.map(\.owner.sender))) AS t (account_id, sender_id)
                    WHERE b.account_id = t.account_id AND b.sender_id = t.sender_id AND b.state = 'prepared' AND b.claims < \(Outbox.claimLimit)
                    RETURNING b.account_id, b.message_id
                )
                UPDATE messages m SET state = 'accepted'
                FROM freed f
                WHERE m.account_id = f.account_id AND m.message_id = f.message_id
                """)
            return taken
        }
    }

    /// Holds the senders on. What is missing from the answer is lost: its connection must be closed at once.
    package func renew(node: String, owned: [OwnedSender], ttl: Duration = defaultTTL) async throws -> [LeasedSender] {
        guard !owned.isEmpty else { return [] }
        return try await database.query(
            "leases.renew",
            """
            WITH mine AS (
                SELECT l.account_id, l.sender_id
                FROM sender_leases l
                JOIN \(owned.rows) ON o.account_id = l.account_id AND o.sender_id = l.sender_id AND o.epoch = l.epoch
                WHERE l.holder = \(node)
                ORDER BY l.account_id, l.sender_id
                FOR UPDATE OF l
            ),
            taken AS (
                UPDATE sender_leases l SET expires_at = clock_timestamp() + make_interval(secs => \(ttl.seconds))
                FROM mine
                WHERE l.account_id = mine.account_id AND l.sender_id = mine.sender_id
                RETURNING l.account_id, l.sender_id, l.epoch
            )
            \(Self.leased)
            """, settings: Databases.accounts(owned.map(\.account)), as: Self.read)
    }

    /// Lets go, so that another node can take over at once.
    package func release(node: String, owned: [OwnedSender]) async throws {
        guard !owned.isEmpty else { return }
        try await database.execute(
            "leases.release",
            """
            UPDATE sender_leases l SET holder = NULL, expires_at = '-infinity'
            FROM \(owned.rows)
            WHERE o.account_id = l.account_id AND o.sender_id = l.sender_id AND o.epoch = l.epoch AND l.holder = \(node)
            """, settings: Databases.accounts(owned.map(\.account)))
    }

    private static let leased: SQL = """
        SELECT t.account_id, t.sender_id, t.epoch, s.state, s.test, p.requested_at
        FROM taken t
        JOIN senders s ON s.account_id = t.account_id AND s.sender_id = t.sender_id
        LEFT JOIN pairings p ON p.account_id = t.account_id AND p.sender_id = t.sender_id
        ORDER BY t.account_id, t.sender_id
        """

    private static func read(_ row: RowReader) throws -> LeasedSender {
        LeasedSender(
            owner: OwnedSender(account: try row["account_id"], sender: try row["sender_id"], epoch: try row["epoch"]), state: try row.state("state"),
            isTest: try row["test"], pairingRequestedAt: try row["requested_at"])
    }
}

extension Array where Element == OwnedSender {
    /// `unnest(…) AS o (account_id, sender_id, epoch)`
    var rows: SQL { "unnest(\(map(\.account)), \(map(\.sender)), \(map(\.epoch))) AS o (account_id, sender_id, epoch)" }
}

extension Duration {
    /// With fractions.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
