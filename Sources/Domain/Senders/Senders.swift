package import Foundation
package import Postgres
import Primitives
import Secrets

/// The numbers that send for an account. People create and remove them; the node that holds the lease records what becomes of them.
package struct Senders: Sendable {
    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource
    /// Told of what changes here; nil where nothing is routed.
    var routing: Routing?

    private static let columns: SQL = """
        s.sender_id, s.label_sealed, s.test, s.state, s.state_code, s.state_since, s.number_sealed, s.created_at, s.paired_at, s.limits,
            h.paused_until, h.pause_code, h.pause_level, h.new_chats_until, h.new_chats_code, h.new_chats_level, h.demoted_until, h.changed_at
        """
    private static let tables: SQL = """
        senders s
        LEFT JOIN sender_health h ON h.account_id = s.account_id AND h.sender_id = s.sender_id
        """

    // MARK: For people

    /// Makes a sender with nothing linked yet, and puts it at the end of the account's default pool.
    package func create(account: Account.ID, label: String, test: Bool, now: Date) async throws -> Sender {
        try await create(account: account, label: label, test: test, idempotencyKey: nil, now: now).sender
    }

    /// The same under the client's name for it: a known key gives the sender as it was first answered and makes none.
    /// - Throws: `AcceptFailure` when the key was used for another request, or its first request still runs.
    package func create(
        account: Account.ID, label: String, test: Bool, idempotencyKey: IdempotencyKey?, now: Date
    ) async throws -> (sender: Sender, replayed: Bool) {
        let sealer = try await keys.sealer(for: account)
        let id = Sender.ID.make(at: now, random: random)
        let claim = idempotencyKey.map {
            IdempotencyClaim($0, request: ["POST /v1/senders", label, test ? "test" : "live"], account: account, sealer: sealer)
        }
        let first = try await databases.api.transaction(Databases.accounts([account]) + [IdempotencyClaim.patience]) { transaction -> Sender.ID in
            if let earlier = try await claim?.take(for: id.uuid, in: transaction, now: now) { return Sender.ID(earlier) }
            _ = try await transaction.commit(with: [
                Statement(
                    "senders.create",
                    """
                    INSERT INTO senders (account_id, sender_id, label_sealed, test, state_since, created_at)
                    VALUES (\(account), \(id), \(sealer.seal(label, .senderLabel(id))), \(test), \(now), \(now))
                    """),
                Statement("senders.createLease", "INSERT INTO sender_leases (account_id, sender_id) VALUES (\(account), \(id))"),
                Statement(
                    "senders.createMember",
                    """
                    INSERT INTO pool_members (account_id, pool_id, sender_id, place)
                    SELECT p.account_id, p.pool_id, \(id),
                        1 + coalesce((SELECT max(m.place) FROM pool_members m WHERE m.account_id = p.account_id AND m.pool_id = p.pool_id), 0)
                    FROM pools p
                    WHERE p.account_id = \(account) AND p.is_default
                    """),
            ])
            return id
        }
        routing?.forget(account)
        let createdAt = first == id ? now : UUIDv7.time(of: first.uuid)
        let sender = Sender(
            id: first, account: account, label: label, isTest: test, state: .unpaired, stateCode: nil, stateSince: createdAt, number: nil,
            createdAt: createdAt, pairedAt: nil)
        return (sender, first != id)
    }

    /// The account's senders, oldest first, without removed ones.
    package func list(_ account: Account.ID) async throws -> [Sender] {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.query(
            "senders.list",
            "SELECT \(Self.columns) FROM \(Self.tables) WHERE s.account_id = \(account) AND s.state <> 'removed' ORDER BY s.sender_id",
            settings: Databases.accounts([account]), access: .readOnly, as: { try Self.read($0, account, sealer) })
    }

    /// nil: there is none of that id in this account, or it was removed.
    package func get(_ id: Sender.ID, account: Account.ID) async throws -> Sender? {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.queryOne(
            "senders.get",
            "SELECT \(Self.columns) FROM \(Self.tables) WHERE s.account_id = \(account) AND s.sender_id = \(id) AND s.state <> 'removed'",
            settings: Databases.accounts([account]), access: .readOnly, as: { try Self.read($0, account, sealer) })
    }

    /// Begins the removal: the node that holds the lease logs the device out and purges it. A sender that nobody holds is purged here and
    /// now. Twice is the same as once.
    /// - Returns: the state it is in now, `removing` or `removed`; nil: no such sender.
    package func remove(_ id: Sender.ID, account: Account.ID, now: Date) async throws -> SenderState? {
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let held = try await transaction.queryOne(
                "senders.lockForRemoval",
                """
                SELECT s.state, (l.holder IS NOT NULL AND l.expires_at > clock_timestamp()) AS held
                FROM sender_leases l
                JOIN senders s ON s.account_id = l.account_id AND s.sender_id = l.sender_id
                WHERE l.account_id = \(account) AND l.sender_id = \(id)
                FOR UPDATE OF l, s
                """
            ) { (state: try $0.column("state", as: String.self), held: try $0.column("held", as: Bool.self)) }
            guard let held else { return nil }
            if held.state == SenderState.removed.rawValue { return .removed }
            if held.held {
                _ = try await transaction.execute(
                    "senders.markRemoving",
                    """
                    UPDATE senders SET state = 'removing', state_code = NULL, state_since = \(now)
                    WHERE account_id = \(account) AND sender_id = \(id) AND state <> 'removing'
                    """)
                _ = try await transaction.lastQuery(
                    "senders.hint", "SELECT pg_notify(\(Hint.senders), \(id.uuid.uuidString))::text AS hint", as: { _ in })
                return .removing
            }
            // Whoever held it last and wakes up now writes under an epoch that is over.
            _ = try await transaction.execute(
                "senders.fence", "UPDATE sender_leases SET epoch = epoch + 1 WHERE account_id = \(account) AND sender_id = \(id)")
            try await Self.purge(id, account: account, state: .removed, now: now, in: transaction)
            return .removed
        }
    }

    // MARK: For the owner of the lease

    /// Records what became of the connection. A sender that is being removed stays so. False: the epoch is over, nothing was changed.
    package func recordState(_ owner: OwnedSender, _ state: SenderState, code: String? = nil, now: Date) async throws -> Bool {
        Failpoint.hit(.stateBegin)
        let changed = try await databases.engine.query(
            "senders.recordState",
            """
            WITH held AS (
                SELECT account_id, sender_id FROM sender_leases
                WHERE account_id = \(owner.account) AND sender_id = \(owner.sender) AND epoch = \(owner.epoch)
                FOR SHARE
            ),
            changed AS (
                UPDATE senders s SET state = \(state.rawValue), state_code = \(code as String?), state_since = \(now)
                FROM held
                WHERE s.account_id = held.account_id AND s.sender_id = held.sender_id AND s.state NOT IN ('removing', 'removed')
                  AND (s.state <> \(state.rawValue) OR s.state_code IS DISTINCT FROM \(code as String?))
            )
            SELECT account_id FROM held
            """, settings: Databases.accounts([owner.account]), as: { try $0.column("account_id", as: Account.ID.self) })
        Failpoint.hit(.stateRecorded)
        return !changed.isEmpty
    }

    /// Joins the transaction that stores the new credentials: the sender is paired, the pairing is over.
    /// - Throws: `PreWireRefusal.lostLease` if the epoch is over; the transaction must then be rolled back.
    package func paired(_ owner: OwnedSender, number: E164?, in transaction: Transaction, now: Date) async throws {
        let sealer = try await keys.sealer(for: owner.account)
        let touched = try await transaction.execute(
            "senders.paired",
            """
            UPDATE senders s SET state = 'connecting', state_code = NULL, state_since = \(now), paired_at = \(now),
                number_sealed = \(number.map { sealer.seal($0.digits, .senderNumber(owner.sender)) } as [UInt8]?)
            FROM sender_leases l
            WHERE l.account_id = s.account_id AND l.sender_id = s.sender_id AND l.epoch = \(owner.epoch)
              AND s.account_id = \(owner.account) AND s.sender_id = \(owner.sender) AND s.state NOT IN ('removing', 'removed')
            """)
        guard touched == 1 else { throw PreWireRefusal.lostLease }
        _ = try await transaction.execute(
            "senders.pairingOver", "DELETE FROM pairings WHERE account_id = \(owner.account) AND sender_id = \(owner.sender)")
    }

    /// Destroys everything its linked device knew, in one transaction, and marks it `removed` (or `logged_out`, to be paired again).
    /// False: the epoch is over, nothing was changed.
    package func purge(_ owner: OwnedSender, as state: SenderState = .removed, now: Date) async throws -> Bool {
        Failpoint.hit(.purgeBegin)
        let isPurged = try await databases.engine.transaction(Databases.accounts([owner.account])) { transaction in
            let held = try await transaction.query(
                "senders.holdForPurge",
                """
                SELECT epoch FROM sender_leases
                WHERE account_id = \(owner.account) AND sender_id = \(owner.sender) AND epoch = \(owner.epoch)
                FOR UPDATE
                """, as: { try $0.column("epoch", as: Int64.self) })
            guard !held.isEmpty else { return false }
            try await Self.purge(owner.sender, account: owner.account, state: state, now: now, in: transaction)
            return true
        }
        Failpoint.hit(.purged)
        return isPurged
    }

    static func purge(_ id: Sender.ID, account: Account.ID, state: SenderState, now: Date, in transaction: Transaction) async throws {
        var statements = ["signal_sessions", "signal_identities", "prekeys", "sender_devices", "pairings"].map { table in
            Statement("senders.purge", "DELETE FROM \(unescaped: table) WHERE account_id = \(account) AND sender_id = \(id)")
        }
        let removedAt = state == .removed ? now : nil
        statements.append(
            Statement(
                "senders.purged",
                """
                UPDATE senders SET state = \(state.rawValue), state_code = NULL, state_since = \(now), removed_at = \(removedAt as Date?), number_sealed = NULL
                WHERE account_id = \(account) AND sender_id = \(id) AND state <> 'removed'
                """))
        if state == .removed {
            statements.append(
                Statement("senders.leavePools", "DELETE FROM pool_members WHERE account_id = \(account) AND sender_id = \(id)"))
        }
        _ = try await transaction.pipeline(statements)
    }

    private static func read(_ row: RowReader, _ account: Account.ID, _ sealer: Sealer) throws -> Sender {
        let id = try row.column("sender_id", as: Sender.ID.self)
        let number = try row.column("number_sealed", as: [UInt8]?.self).map { try sealer.openText($0, .senderNumber(id)) }
        let isTest = try row.column("test", as: Bool.self)
        return Sender(
            id: id, account: account, label: try sealer.openText(row.column("label_sealed"), .senderLabel(id)), isTest: isTest,
            state: try row.state("state"), stateCode: try row["state_code"], stateSince: try row["state_since"],
            number: try number.map { try E164(digits: $0) }, createdAt: try row["created_at"], pairedAt: try row["paired_at"],
            limits: try SendingLimits(stored: row["limits"], for: isTest ? .testSender : .liveSender), health: try SenderHealth(row))
    }
}

extension RowReader {
    /// A column that holds one of our closed lists.
    func state<Value: RawRepresentable<String>>(_ name: String) throws -> Value {
        guard let value = Value(rawValue: try column(name, as: String.self)) else {
            throw DatabaseError(.unreadable, detail: "column \(name): not in the closed list")
        }
        return value
    }
}
