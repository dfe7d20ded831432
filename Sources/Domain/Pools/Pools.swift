import Foundation
import Postgres
import Secrets

/// Pools of an account. For now there is the default one, which every new sender joins.
package struct Pools: Sendable {
    let databases: Databases
    let keys: AccountKeys

    /// The account's pools, the default one first.
    package func list(_ account: Account.ID) async throws -> [Pool] {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.query(
            "pools.list",
            """
            SELECT p.pool_id, p.name_sealed, p.policy, p.is_default, p.created_at,
                ARRAY(SELECT m.sender_id FROM pool_members m
                    WHERE m.account_id = p.account_id AND m.pool_id = p.pool_id ORDER BY m.place, m.sender_id) AS members
            FROM pools p
            WHERE p.account_id = \(account)
            ORDER BY p.is_default DESC, p.pool_id
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row in
            let id = try row.column("pool_id", as: Pool.ID.self)
            return Pool(
                id: id, account: account, name: try sealer.openText(row.column("name_sealed"), .poolName(id)), policy: try row.state("policy"),
                isDefault: try row["is_default"], members: try row["members"], createdAt: try row["created_at"])
        }
    }
}
