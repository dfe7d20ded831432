package import Foundation
import Postgres
import Primitives

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

    // MARK: Nodes

    /// Notes that `node` is alive and would connect at most `capacity` senders; how it and the other nodes seen lately stand.
    package func board(node: String, capacity: Int, ttl: Duration = defaultTTL) async throws -> LeaseBoard {
        let rows = try await database.query(
            "leases.board",
            """
            SELECT node, capacity, held, wanted
            FROM gateway_engine_board(\(node), \(Int32(clamping: capacity)), make_interval(secs => \(ttl / .seconds(2))))
            """
        ) { row in
            (
                node: LeaseBoard.Node(
                    name: try row["node"], capacity: Int(try row.column("capacity", as: Int32.self)),
                    held: Int(try row.column("held", as: Int64.self))),
                wanted: Int(try row.column("wanted", as: Int64.self))
            )
        }
        return LeaseBoard(wanted: rows.first?.wanted ?? 0, nodes: rows.map(\.node))
    }

    /// The node stops: others need not wait for it to fall silent.
    package func leave(node: String) async throws {
        try await database.execute("leases.leave", "DELETE FROM engine_nodes WHERE node = \(node)")
    }

    // MARK: Senders

    /// Takes up to `limit` senders that nobody holds. What an earlier holder had prepared becomes claimable again at once: nothing of it left.
    package func acquire(node: String, limit: Int, ttl: Duration = defaultTTL) async throws -> [LeasedSender] {
        let free = try await database.query("leases.free", "SELECT account_id, sender_id FROM gateway_free_senders(\(Int32(clamping: limit)))") {
            (account: try $0.column("account_id", as: Account.ID.self), sender: try $0.column("sender_id", as: Sender.ID.self))
        }
        guard !free.isEmpty else { return [] }
        Failpoint.hit(.leaseAcquireBegin)
        let accounts = free.map(\.account)
        let senders = free.map(\.sender)
        let leased = try await database.transaction(Databases.accounts(accounts)) { transaction in
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
                        expires_at = clock_timestamp() + make_interval(secs => \(ttl / .seconds(1)))
                    FROM free
                    WHERE l.account_id = free.account_id AND l.sender_id = free.sender_id
                    RETURNING l.account_id, l.sender_id, l.epoch
                )
                \(Self.leased)
                """, as: Self.read)
            _ = try await transaction.lastStatement(
                "leases.returnPrepared",
                """
                UPDATE outbox b SET state = 'accepted', deadline = NULL
                FROM unnest(\(taken.map(\.owner.account)), \(taken.map(\.owner.sender))) AS t (account_id, sender_id)
                WHERE b.account_id = t.account_id AND b.sender_id = t.sender_id AND b.state = 'prepared' AND b.claims < \(Outbox.claimLimit)
                """)
            return taken
        }
        Failpoint.hit(.leaseAcquired)
        return leased
    }

    /// Holds the senders on. What is missing from the answer is lost: its connection must be closed at once.
    package func renew(node: String, owned: [OwnedSender], ttl: Duration = defaultTTL) async throws -> [LeasedSender] {
        guard !owned.isEmpty else { return [] }
        Failpoint.hit(.leaseRenewBegin)
        let kept = try await database.query(
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
                UPDATE sender_leases l SET expires_at = clock_timestamp() + make_interval(secs => \(ttl / .seconds(1))), beats = l.beats + 1
                FROM mine
                WHERE l.account_id = mine.account_id AND l.sender_id = mine.sender_id
                RETURNING l.account_id, l.sender_id, l.epoch
            )
            \(Self.leased)
            """, settings: Databases.accounts(owned.map(\.account)), as: Self.read)
        Failpoint.hit(.leaseRenewed)
        return kept
    }

    /// Lets go, so that another node can take over at once; other nodes are told.
    /// - Parameter handedOverAt: the connections were closed then, so what was `ready` is `connecting` until the next owner says more. nil: no
    ///   state changes.
    package func release(node: String, owned: [OwnedSender], handedOverAt: Date? = nil) async throws {
        guard !owned.isEmpty else { return }
        Failpoint.hit(.leaseReleaseBegin)
        try await database.execute(
            "leases.release",
            """
            WITH mine AS (
                SELECT l.account_id, l.sender_id
                FROM sender_leases l
                JOIN \(owned.rows) ON o.account_id = l.account_id AND o.sender_id = l.sender_id AND o.epoch = l.epoch
                WHERE l.holder = \(node)
                ORDER BY l.account_id, l.sender_id
                FOR UPDATE OF l
            ),
            free AS (
                UPDATE sender_leases l SET holder = NULL, expires_at = '-infinity'
                FROM mine
                WHERE l.account_id = mine.account_id AND l.sender_id = mine.sender_id
                RETURNING l.account_id, l.sender_id
            ),
            waiting AS (
                UPDATE senders s SET state = 'connecting', state_code = 'handed_over', state_since = \(handedOverAt as Date?)
                FROM free
                WHERE s.account_id = free.account_id AND s.sender_id = free.sender_id AND s.state = 'ready' AND \(handedOverAt as Date?) IS NOT NULL
            )
            SELECT pg_notify(\(Hint.senders), '') FROM free LIMIT 1
            """, settings: Databases.accounts(owned.map(\.account)))
        Failpoint.hit(.leaseReleased)
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
