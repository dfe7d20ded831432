import Foundation
import Postgres

extension Pools {
    /// Makes a pool the one that messages without a route go through; the one that was is it no longer. Twice is the same as once.
    /// - Returns: the pool as it is now; nil: there is none of that id in this account.
    package func makeDefault(_ id: Pool.ID, account: Account.ID) async throws -> Pool? {
        let isThere = try await databases.api.transaction(Databases.accounts([account])) { transaction in
            // All of them, in one order: two that become the default at once wait for each other.
            let pools = try await transaction.query(
                "pools.lockForDefault", "SELECT pool_id FROM pools WHERE account_id = \(account) ORDER BY pool_id FOR UPDATE",
                as: { try $0.column("pool_id", as: Pool.ID.self) })
            guard pools.contains(id) else { return false }
            _ = try await transaction.commit(with: [
                Statement(
                    "pools.endDefault", "UPDATE pools SET is_default = false WHERE account_id = \(account) AND is_default AND pool_id <> \(id)"),
                Statement("pools.makeDefault", "UPDATE pools SET is_default = true WHERE account_id = \(account) AND pool_id = \(id)"),
            ])
            return true
        }
        guard isThere else { return nil }
        routing.forget(account)
        return try await get(id, account: account)
    }
}
