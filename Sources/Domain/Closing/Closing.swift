package import Foundation
import Logging
import Postgres
import Primitives

/// Closes an account for good, in steps that each commit and can be taken up by any node after a crash:
/// keys refused and senders marked → owners unlink them (or patience ends) → data key destroyed → rows erased in every table → receipt.
package struct Closing: Sendable {
    package enum Progress: Sendable {
        /// Senders that their owners have not unlinked yet.
        case unlinking(senders: Int)
        /// Rows were deleted, more may be left.
        case erasing
        case done(DeletionReceipt)
        /// There is no such account (any more).
        case gone
    }

    /// Key-encryption keys live 14 days, and the backups that hold them 14 more (design.md §7).
    private static let backupHorizon: TimeInterval = 28 * 86_400
    private static let eraseLimit = 5_000

    let databases: Databases
    let keys: AccountKeys
    let apiKeys: APIKeys
    let random: any RandomSource
    let logger: Logger

    /// Begins: from the commit on the keys are refused, nothing is accepted and nothing more is claimed. Senders that nobody owns are purged at
    /// once, the others get `patience` seconds to be unlinked by their owners. False: no such account. Twice is the same as once.
    package func begin(_ account: Account.ID, patience: TimeInterval = 60, now: Date) async throws -> Bool {
        let lookups = try await databases.api.transaction(Databases.accounts([account])) { transaction -> [String]? in
            let known = try await transaction.execute(
                "closing.mark",
                """
                UPDATE accounts SET state = 'closing', closing_at = coalesce(closing_at, \(now)) WHERE account_id = \(account)
                """)
            guard known == 1 else { return nil }
            _ = try await transaction.execute(
                "closing.begin",
                """
                INSERT INTO closings (account_id, step, requested_at, unlink_until)
                VALUES (\(account), 'unlinking', \(now), \(now.addingTimeInterval(patience)))
                ON CONFLICT (account_id) DO NOTHING
                """)
            return try await transaction.query(
                "closing.revokeKeys",
                """
                UPDATE api_keys SET revoked_at = coalesce(revoked_at, \(now)), verifier = NULL, label_sealed = NULL
                WHERE account_id = \(account)
                RETURNING lookup
                """, as: { try $0.column("lookup", as: String.self) })
        }
        guard let lookups else { return false }
        apiKeys.forgetAll(lookups)
        Failpoint.hit(.closingMarked)
        try await markSenders(account, now: now)
        Failpoint.hit(.closingBegun)
        return true
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
        let receipt = try await finish(account, now: now)
        Failpoint.hit(.closingFinished)
        return .done(receipt)
    }

    /// Begins and goes on to the end, asking the owners' progress every `pause`.
    package func close(
        _ account: Account.ID, patience: TimeInterval = 60, pause: Duration = .milliseconds(200), clock: any Clock<Duration> = ContinuousClock(),
        now: @Sendable () -> Date
    ) async throws -> DeletionReceipt? {
        guard try await begin(account, patience: patience, now: now()) else { return nil }
        while true {
            switch try await advance(account, now: now()) {
            case .unlinking: try await clock.sleep(for: pause)
            case .erasing: continue
            case .done(let receipt): return receipt
            case .gone: return nil
            }
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
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            _ = try await transaction.commit(with: [
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

    private func finish(_ account: Account.ID, now: Date) async throws -> DeletionReceipt {
        // Random, not by time: it must not lead back to the account.
        let id = DeletionReceipt.ID(UUID(bytes: random.bytes(16)))
        let unreadableAt = now.addingTimeInterval(Self.backupHorizon)
        let finished = try await databases.api.queryOne(
            "closing.finish",
            "SELECT requested, counted::text AS counts FROM gateway_finish_closing(\(account), \(id), \(now), \(unreadableAt))",
            settings: Databases.accounts([account]), deadline: .seconds(60)
        ) { (requestedAt: try $0.column("requested", as: Date.self), counts: try $0.column("counts", as: String.self)) }
        guard let finished else { throw AccountGone(account: account) }
        let counts = try JSONDecoder().decode([String: Int].self, from: Data(finished.counts.utf8))
        return DeletionReceipt(id: id, requestedAt: finished.requestedAt, completedAt: now, backupsUnreadableAt: unreadableAt, counts: counts)
    }
}
