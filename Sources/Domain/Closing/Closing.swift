package import Foundation
import Logging
import Postgres
import Primitives
import Secrets

/// Closes an account for good, in steps that each commit and can be taken up by any node after a crash:
/// keys refused and senders marked → owners unlink them (or patience ends) → data key destroyed → rows erased in every table → receipt.
package struct Closing: Sendable {
    package enum Progress: Sendable {
        /// Senders that their owners have not unlinked yet.
        case unlinking(senders: Int)
        /// Rows were deleted, more may be left.
        case erasing
        case done
        /// There is no such account, or no closing of it (any more).
        case gone
    }

    /// A test key asked, and the account has a live sender or a live key: nothing was changed.
    package struct LiveAccount: Error, Sendable, Equatable {}

    /// Key-encryption keys live 14 days, and the backups that hold them 14 more (design.md §7).
    private static let backupHorizon: TimeInterval = 28 * 86_400
    private static let eraseLimit = 5_000

    let databases: Databases
    let keys: AccountKeys
    let apiKeys: APIKeys
    let random: any RandomSource
    let logger: Logger

    /// Begins: from the commit on the keys are refused, nothing is accepted and nothing more is claimed. Senders that nobody owns are purged at
    /// once, the others get `patience` seconds to be unlinked by their owners. Twice is the same as once.
    /// - Returns: The id that the deletion receipt will have. nil: no such account.
    /// - Throws: `LiveAccount` when `sparesLive` (a test key asks) and the account has something live.
    package func begin(
        _ account: Account.ID, sparesLive: Bool = false, patience: TimeInterval = 60, now: Date
    ) async throws -> DeletionReceipt.ID? {
        // Random, not by time: it must not lead back to the account.
        let fresh = DeletionReceipt.ID(UUID(bytes: random.bytes(16)))
        let begun = try await databases.api.transaction(Databases.accounts([account])) { transaction -> (DeletionReceipt.ID, [String])? in
            let isLive = try await transaction.queryOne(
                "closing.mark",
                """
                WITH account AS MATERIALIZED (
                    SELECT a.account_id,
                        EXISTS (SELECT 1 FROM senders s WHERE s.account_id = a.account_id AND NOT s.test AND s.state <> 'removed')
                        OR EXISTS (
                            SELECT 1 FROM api_keys k
                            WHERE k.account_id = a.account_id AND NOT k.test AND k.revoked_at IS NULL
                              AND (k.expires_at IS NULL OR k.expires_at > \(now))
                        ) AS live
                    FROM accounts a
                    WHERE a.account_id = \(account)
                    FOR NO KEY UPDATE OF a
                ),
                marked AS (
                    UPDATE accounts a SET state = 'closing', closing_at = coalesce(a.closing_at, \(now))
                    FROM account
                    WHERE a.account_id = account.account_id AND NOT (\(sparesLive) AND account.live)
                )
                SELECT live FROM account
                """, as: { try $0.column("live", as: Bool.self) })
            guard let isLive else { return nil }
            if isLive, sparesLive { throw LiveAccount() }
            let receipt = try await transaction.queryOne(
                "closing.begin",
                """
                INSERT INTO closings (account_id, step, requested_at, unlink_until, receipt_id)
                VALUES (\(account), 'unlinking', \(now), \(now.addingTimeInterval(patience)), \(fresh))
                ON CONFLICT (account_id) DO UPDATE SET receipt_id = closings.receipt_id
                RETURNING receipt_id
                """, as: { try $0.column("receipt_id", as: DeletionReceipt.ID.self) })
            let lookups = try await transaction.query(
                "closing.revokeKeys",
                """
                UPDATE api_keys SET revoked_at = coalesce(revoked_at, \(now)), verifier = NULL, label_sealed = NULL
                WHERE account_id = \(account)
                RETURNING lookup
                """, as: { try $0.column("lookup", as: String.self) })
            return (receipt ?? fresh, lookups)
        }
        guard let (receipt, lookups) = begun else { return nil }
        apiKeys.forgetAll(lookups)
        Failpoint.hit(.closingMarked)
        try await markSenders(account, now: now)
        Failpoint.hit(.closingBegun)
        return receipt
    }

    /// Takes the next step. Call again until `done`; between answers of `unlinking` wait a little.
    package func advance(_ account: Account.ID, now: Date) async throws -> Progress {
        let found = try await databases.api.queryOne(
            "closing.step", "SELECT step, unlink_until <= \(now) AS impatient FROM closings WHERE account_id = \(account)",
            settings: Databases.accounts([account])
        ) { (step: try $0.column("step", as: String.self), impatient: try $0.column("impatient", as: Bool.self)) }
        guard let found else { return .gone }
        if found.step == "unlinking" {
            try await markSenders(account, now: now)
            let left = try await linkedSenders(account)
            if left > 0, !found.impatient { return .unlinking(senders: left) }
            Failpoint.hit(.keyDestroyBegin)
            try await destroyKey(account, now: now)
            Failpoint.hit(.keyDestroyed)
            return .erasing
        }
        let erased = try await erase(account)
        Failpoint.hit(.erased)
        if erased > 0 { return .erasing }
        Failpoint.hit(.closingFinishBegin)
        guard try await finish(account, now: now) else { return .gone }
        Failpoint.hit(.closingFinished)
        return .done
    }

    /// Begins and goes on to the end, asking the owners' progress every `pause`. Other nodes may take some of the steps, the last one too.
    /// - Returns: nil when there is no such account.
    /// - Throws: `LiveAccount`, see `begin`.
    package func close(
        _ account: Account.ID, sparesLive: Bool = false, patience: TimeInterval = 60, pause: Duration = .milliseconds(200),
        clock: any Clock<Duration> = ContinuousClock(), now: @Sendable () -> Date
    ) async throws -> DeletionReceipt? {
        guard let id = try await begin(account, sparesLive: sparesLive, patience: patience, now: now()) else { return nil }
        while true {
            switch try await advance(account, now: now()) {
            case .unlinking: try await clock.sleep(for: pause)
            case .erasing: continue
            case .done, .gone: return try await receipt(id)
            }
        }
    }

    /// The proof that a closing is over; nil while it is not.
    package func receipt(_ id: DeletionReceipt.ID) async throws -> DeletionReceipt? {
        let found = try await databases.api.queryOne(
            "closing.receipt",
            """
            SELECT requested_at, completed_at, backups_unreadable_at, counts::text AS counts FROM deletion_receipts WHERE receipt_id = \(id)
            """, settings: []
        ) { row in
            (
                requested: try row.column("requested_at", as: Date.self), completed: try row.column("completed_at", as: Date.self),
                unreadable: try row.column("backups_unreadable_at", as: Date.self), counts: try row.column("counts", as: String.self)
            )
        }
        return try found.map {
            DeletionReceipt(
                id: id, requestedAt: $0.requested, completedAt: $0.completed, backupsUnreadableAt: $0.unreadable,
                counts: try JSONDecoder().decode([String: Int].self, from: Data($0.counts.utf8)))
        }
    }

    /// Closings that some node has begun and not finished; the engine advances them.
    package func open() async throws -> [Account.ID] {
        try await databases.engine.query("closing.open", "SELECT account_id FROM gateway_open_closings()") { try $0["account_id"] }
    }

    // MARK: Steps

    /// Asks every sender's owner to unlink it; without an owner it is purged here.
    private func markSenders(_ account: Account.ID, now: Date) async throws {
        let senders = try await databases.api.query(
            "closing.senders", "SELECT sender_id FROM senders WHERE account_id = \(account) AND state <> 'removed' ORDER BY sender_id",
            settings: Databases.accounts([account]), as: { try $0.column("sender_id", as: Sender.ID.self) })
        let room = Senders(databases: databases, keys: keys, random: random)
        for sender in senders { _ = try await room.remove(sender, account: account, now: now) }
    }

    private func linkedSenders(_ account: Account.ID) async throws -> Int {
        try await databases.api.queryOne(
            "closing.linked", "SELECT count(*) AS left_over FROM senders WHERE account_id = \(account) AND state <> 'removed'",
            settings: Databases.accounts([account]), as: { try $0.column("left_over", as: Int.self) }) ?? 0
    }

    /// From here on nothing sealed can be read, in the heap, in replicas, or by a node that still remembers: leases get a new epoch, so its
    /// writes change nothing.
    private func destroyKey(_ account: Account.ID, now: Date) async throws {
        // What cannot be read any more is nobody's address either, and keeps no account from being closed.
        var sealer: Sealer?
        do { sealer = try await keys.sealer(for: account) } catch is AccountGone {} catch is SecretsFailure {} catch is KeyRingFailure {}
        try await databases.api.transaction(Databases.accounts([account])) { [sealer] transaction in
            let mails = try await Alerts.receiptMails(
                account, sealer: sealer, gatewayKeys: keys.ring.gateway, random: random, in: transaction, now: now)
            _ = try await transaction.commit(
                with: mails + [
                    Statement("closing.fence", "UPDATE sender_leases SET epoch = epoch + 1 WHERE account_id = \(account)"),
                    Statement("closing.destroyKey", "DELETE FROM account_data_keys WHERE account_id = \(account)"),
                    Statement(
                        "closing.keyDestroyed",
                        """
                        UPDATE closings SET step = 'erasing', counts = counts || '{"account_data_keys": 1}' WHERE account_id = \(account) AND step = 'unlinking'
                        """),
                ])
        }
        keys.forget(account)
    }

    private func erase(_ account: Account.ID) async throws -> Int {
        try await databases.api.transaction(Databases.accounts([account]), deadline: .seconds(60)) { transaction in
            // One node at a time: two that delete the same rows in another order would stop each other.
            let open = try await transaction.query("closing.lock", "SELECT step FROM closings WHERE account_id = \(account) FOR UPDATE") { _ in true }
            // Another one has finished meanwhile, which the last step will find.
            guard !open.isEmpty else { return 0 }
            let erased = try await transaction.query(
                "closing.erase", "SELECT table_name, erased FROM gateway_erase_account(\(account), \(Int32(Self.eraseLimit)))"
            ) { (table: try $0.column("table_name", as: String.self), rows: try $0.column("erased", as: Int.self)) }
            for part in erased {
                _ = try await transaction.execute(
                    "closing.count",
                    """
                    UPDATE closings
                    SET counts = jsonb_set(counts, ARRAY[\(part.table)], to_jsonb(coalesce((counts ->> \(part.table))::bigint, 0) + \(part.rows)))
                    WHERE account_id = \(account)
                    """)
            }
            return erased.reduce(0) { $0 + $1.rows }
        }
    }

    /// False: another node was first.
    private func finish(_ account: Account.ID, now: Date) async throws -> Bool {
        try await databases.api.queryOne(
            "closing.finish",
            "SELECT receipt FROM gateway_finish_closing(\(account), \(now), \(now.addingTimeInterval(Self.backupHorizon)))",
            settings: Databases.accounts([account]), deadline: .seconds(60), as: { try $0.column("receipt", as: UUID.self) }) != nil
    }
}
