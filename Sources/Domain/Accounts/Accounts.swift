package import Foundation
import Postgres
import Primitives
package import Secrets

/// Customers: made here, closed in `Closing`.
package struct Accounts: Sendable {
    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource

    /// Makes an account with its data key and its default pool, in one transaction.
    package func create(name: String, defaultCallingCode: String? = nil, now: Date) async throws -> Account {
        let account = Account.ID.make(at: now, random: random)
        let pool = Pool.ID.make(at: now, random: random)
        let dataKey = DataKey(random: random)
        let sealer = Sealer(dataKey: dataKey, account: account.uuid, random: random)
        let wrapped = keys.ring.wrap(dataKey, account: account.uuid, random: random)
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            _ = try await transaction.commit(with: [
                Statement(
                    "accounts.create",
                    """
                    INSERT INTO accounts (account_id, name_sealed, default_calling_code, created_at)
                    VALUES (\(account), \(sealer.seal(name, .accountName(account))), \(defaultCallingCode as String?), \(now))
                    """),
                Statement(
                    "accounts.createKey",
                    "INSERT INTO account_data_keys (account_id, wrapped, created_at) VALUES (\(account), \(wrapped), \(now))"),
                Statement(
                    "accounts.createPool",
                    """
                    INSERT INTO pools (account_id, pool_id, name_sealed, policy, is_default, created_at)
                    VALUES (\(account), \(pool), \(sealer.seal("default", .poolName(pool))), \(RoutingPolicy.roundRobin.rawValue), true, \(now))
                    """),
            ])
        }
        return Account(id: account, name: name, state: .active, defaultCallingCode: defaultCallingCode, createdAt: now)
    }

    /// All accounts, oldest first; for the operator's command line.
    package func list() async throws -> [Account] {
        let ids = try await databases.api.query("accounts.ids", "SELECT account_id FROM gateway_account_ids()") {
            try $0.column("account_id", as: Account.ID.self)
        }
        var accounts: [Account] = []
        for id in ids {
            if let account = try await find(id) { accounts.append(account) }
        }
        return accounts
    }

    package func find(_ id: Account.ID) async throws -> Account? {
        let rows = try await databases.api.transaction(Databases.accounts([id])) { transaction in
            try await transaction.lastQuery(
                "accounts.find", "SELECT name_sealed, state, default_calling_code, created_at FROM accounts WHERE account_id = \(id)"
            ) { row in
                (
                    name: try row.column("name_sealed", as: [UInt8].self), state: try row.column("state", as: String.self),
                    code: try row.column("default_calling_code", as: String?.self), createdAt: try row.column("created_at", as: Date.self)
                )
            }
        }
        guard let row = rows.first, let state = Account.State(rawValue: row.state) else { return nil }
        // A closing account's name is unreadable once its data key is gone.
        var name = ""
        do { name = try await sealer(for: id).openText(row.name, .accountName(id)) } catch is AccountGone {}
        return Account(id: id, name: name, state: state, defaultCallingCode: row.code, createdAt: row.createdAt)
    }

    /// What seals and opens the account's values. The data key is remembered for a minute.
    /// - Throws: `AccountGone`; `SecretsFailure` if the ring lacks its key-encryption key; `DatabaseError`.
    package func sealer(for account: Account.ID) async throws -> Sealer { try await keys.sealer(for: account) }
}
