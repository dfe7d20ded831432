package import Foundation
import Postgres
import Primitives
import Secrets

/// Pools of an account. The default one is there from the first moment; every new sender joins it.
package struct Pools: Sendable {
    package static let limit = 1000

    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource
    let routing: Routing

    /// Whether a pool is gone.
    package enum Deletion: Sendable { case deleted, isDefault }

    /// Makes a pool. Under a known idempotency key the pool is given as it was first answered, and none is made.
    /// - Throws: `InvalidPool` when a member is no sender of this account; `AcceptFailure` when the key was used for another request, or its
    ///   first request still runs.
    package func create(
        account: Account.ID, _ draft: PoolDraft, idempotencyKey: IdempotencyKey? = nil, now: Date
    ) async throws -> (pool: Pool, replayed: Bool) {
        let sealer = try await keys.sealer(for: account)
        let id = Pool.ID.make(at: now, random: random)
        let limits = try draft.limits.stored()
        let members = draft.members.flatMap { ["\($0.sender)", "\($0.weight)"] + $0.prefixes }
        let claim = idempotencyKey.map {
            IdempotencyClaim($0, request: ["POST /v1/pools", draft.name, draft.policy.rawValue, limits] + members, account: account, sealer: sealer)
        }
        let first = try await databases.api.transaction(Databases.accounts([account]) + [IdempotencyClaim.patience]) { transaction -> Pool.ID in
            if let earlier = try await claim?.take(for: id.uuid, in: transaction, now: now) { return Pool.ID(earlier) }
            let count = try await transaction.queryOne(
                "pools.count", "SELECT count(*) AS pools FROM pools WHERE account_id = \(account)", as: { try $0.column("pools", as: Int.self) })
            guard (count ?? 0) < Self.limit else {
                throw InvalidPool(problems: [SettingsProblem("", .tooMany, "an account has at most 1,000 pools")])
            }
            try await Self.check(draft.members, account, in: transaction)
            _ = try await transaction.commit(with: [
                Statement(
                    "pools.create",
                    """
                    INSERT INTO pools (account_id, pool_id, name_sealed, policy, is_default, limits, created_at)
                    VALUES (\(account), \(id), \(sealer.seal(draft.name, .poolName(id))), \(draft.policy.rawValue), false, \(limits)::jsonb, \(now))
                    """),
                Self.insert(draft.members, id, account),
            ])
            return id
        }
        routing.forget(account)
        let pool = Pool(
            id: first, account: account, name: draft.name, policy: draft.policy, isDefault: false, members: draft.members, limits: draft.limits,
            createdAt: first == id ? now : UUIDv7.time(of: first.uuid))
        return (pool, first != id)
    }

    /// The account's pools, the default one first.
    package func list(_ account: Account.ID) async throws -> [Pool] { try await read(account, "true") }

    /// nil: there is none of that id in this account.
    package func get(_ id: Pool.ID, account: Account.ID) async throws -> Pool? { try await read(account, "p.pool_id = \(id)").first }

    /// Changes a pool; the next decision goes by it.
    /// - Returns: the pool as it is now; nil: there is none of that id.
    /// - Throws: `InvalidPool` when a member is no sender of this account.
    package func update(_ id: Pool.ID, account: Account.ID, _ change: PoolChange, now: Date) async throws -> Pool? {
        let sealer = try await keys.sealer(for: account)
        let isThere = try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let found = try await transaction.queryOne(
                "pools.lock", "SELECT pool_id FROM pools WHERE account_id = \(account) AND pool_id = \(id) FOR UPDATE",
                as: { try $0.column("pool_id", as: Pool.ID.self) })
            guard found != nil else { return false }
            if let members = change.members { try await Self.check(members, account, in: transaction) }
            var statements = [
                Statement(
                    "pools.update",
                    """
                    UPDATE pools
                    SET name_sealed = coalesce(\(change.name.map { sealer.seal($0, .poolName(id)) } as [UInt8]?), name_sealed),
                        policy = coalesce(\(change.policy?.rawValue as String?), policy),
                        limits = coalesce((\(try change.limits?.stored() as String?))::jsonb, limits)
                    WHERE account_id = \(account) AND pool_id = \(id)
                    """)
            ]
            if let members = change.members {
                statements.append(
                    Statement("pools.clearMembers", "DELETE FROM pool_members WHERE account_id = \(account) AND pool_id = \(id)"))
                statements.append(Self.insert(members, id, account))
            }
            _ = try await transaction.commit(with: statements)
            return true
        }
        guard isThere else { return nil }
        routing.forget(account)
        return try await get(id, account: account)
    }

    /// Removes a pool; its senders stay. Messages that were routed through it go on as they are.
    /// - Returns: nil: there is none of that id.
    package func delete(_ id: Pool.ID, account: Account.ID) async throws -> Deletion? {
        let deletion = try await databases.api.transaction(Databases.accounts([account])) { transaction -> Deletion? in
            let isDefault = try await transaction.queryOne(
                "pools.lockForDeletion", "SELECT is_default FROM pools WHERE account_id = \(account) AND pool_id = \(id) FOR UPDATE",
                as: { try $0.column("is_default", as: Bool.self) })
            guard let isDefault else { return nil }
            if isDefault { return .isDefault }
            _ = try await transaction.commit(with: [
                Statement("pools.deleteMembers", "DELETE FROM pool_members WHERE account_id = \(account) AND pool_id = \(id)"),
                Statement("pools.delete", "DELETE FROM pools WHERE account_id = \(account) AND pool_id = \(id)"),
            ])
            return .deleted
        }
        routing.forget(account)
        return deletion
    }

    /// Every member must be a sender of the account; they are kept from being removed until the transaction ends.
    private static func check(_ members: [Pool.Member], _ account: Account.ID, in transaction: Transaction) async throws {
        let there = Set(
            try await transaction.query(
                "pools.checkMembers",
                """
                SELECT s.sender_id
                FROM senders s
                WHERE s.account_id = \(account) AND s.sender_id = ANY (\(members.map(\.sender))) AND s.state NOT IN ('removing', 'removed')
                ORDER BY s.sender_id
                FOR SHARE
                """, as: { try $0.column("sender_id", as: Sender.ID.self) }))
        let problems = members.enumerated().filter { !there.contains($0.element.sender) }.map { place, _ in
            SettingsProblem("/members/\(place)/sender", .senderNotFound, "there is no such sender in this account")
        }
        if !problems.isEmpty { throw InvalidPool(problems: problems) }
    }

    private static func insert(_ members: [Pool.Member], _ id: Pool.ID, _ account: Account.ID) -> Statement {
        Statement(
            "pools.insertMembers",
            """
            INSERT INTO pool_members (account_id, pool_id, sender_id, place, weight, prefixes)
            SELECT \(account), \(id), m.sender_id, m.place, m.weight, string_to_array(m.prefixes, ',')
            FROM unnest(\(members.map(\.sender)), \(members.map { Int32(clamping: $0.weight) }),
                \(members.map { $0.prefixes.joined(separator: ",") })) WITH ORDINALITY AS m (sender_id, weight, prefixes, place)
            """)
    }

    private func read(_ account: Account.ID, _ condition: SQL) async throws -> [Pool] {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.query(
            "pools.read",
            """
            SELECT p.pool_id, p.name_sealed, p.policy, p.is_default, p.limits, p.created_at, m.senders, m.weights, m.prefixes
            FROM pools p
            CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(m.sender_id ORDER BY m.place, m.sender_id), '{}') AS senders,
                    coalesce(array_agg(m.weight ORDER BY m.place, m.sender_id), '{}') AS weights,
                    coalesce(array_agg(array_to_string(m.prefixes, ',') ORDER BY m.place, m.sender_id), '{}') AS prefixes
                FROM pool_members m
                WHERE m.account_id = p.account_id AND m.pool_id = p.pool_id
            ) AS m
            WHERE p.account_id = \(account) AND \(condition)
            ORDER BY p.is_default DESC, p.pool_id
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row in
            let id = try row.column("pool_id", as: Pool.ID.self)
            let senders = try row.column("senders", as: [Sender.ID].self)
            let weights = try row.column("weights", as: [Int32].self)
            let prefixes = try row.column("prefixes", as: [String].self)
            return Pool(
                id: id, account: account, name: try sealer.openText(row.column("name_sealed"), .poolName(id)), policy: try row.state("policy"),
                isDefault: try row["is_default"],
                members: senders.indices.map {
                    Pool.Member(senders[$0], weight: Int(weights[$0]), prefixes: prefixes[$0].split(separator: ",").map(String.init))
                }, limits: try SendingLimits(stored: row["limits"], for: .pool), createdAt: try row["created_at"])
        }
    }
}
