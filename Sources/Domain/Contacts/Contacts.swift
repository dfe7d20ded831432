package import Foundation
import Postgres
import Secrets

/// The contact cache: the only place that holds what WhatsApp tells about a counterparty. Never a name. It may be empty at any time;
/// what is older than an hour is not returned even if the cron is dead.
package struct Contacts: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// By number: registered or not, and the LID.
        case contact
        /// By user: the devices.
        case devices
    }

    package static let lifetime: TimeInterval = 3600

    let database: Database
    let keys: AccountKeys

    /// What was stored for that number or user, as the caller serialised it.
    package func find(_ kind: Kind, key: String, account: Account.ID, now: Date) async throws -> [UInt8]? {
        let sealer = try await keys.sealer(for: account)
        let index = sealer.blindIndex(Array(key.utf8), purpose: .contacts)
        return try await database.queryOne(
            "contacts.find",
            """
            SELECT sealed FROM contact_cache
            WHERE account_id = \(account) AND kind = \(kind.rawValue) AND contact_index = \(index)
              AND fetched_at > \(now.addingTimeInterval(-Self.lifetime)) AND fetched_at <= \(now)
            """, settings: Databases.accounts([account]), access: .readOnly,
            as: { try sealer.open($0.column("sealed"), .contact(kind.rawValue, index)) })
    }

    package func store(_ kind: Kind, key: String, payload: [UInt8], account: Account.ID, now: Date) async throws {
        let sealer = try await keys.sealer(for: account)
        let index = sealer.blindIndex(Array(key.utf8), purpose: .contacts)
        try await database.execute(
            "contacts.store",
            """
            INSERT INTO contact_cache (account_id, kind, contact_index, sealed, fetched_at)
            VALUES (\(account), \(kind.rawValue), \(index), \(sealer.seal(payload, .contact(kind.rawValue, index))), \(now))
            ON CONFLICT (account_id, kind, contact_index) DO UPDATE SET sealed = excluded.sealed, fetched_at = excluded.fetched_at
            """, settings: Databases.accounts([account]))
    }

    package func forget(_ kind: Kind, key: String, account: Account.ID) async throws {
        let sealer = try await keys.sealer(for: account)
        let index = sealer.blindIndex(Array(key.utf8), purpose: .contacts)
        try await database.execute(
            "contacts.forget",
            "DELETE FROM contact_cache WHERE account_id = \(account) AND kind = \(kind.rawValue) AND contact_index = \(index)",
            settings: Databases.accounts([account]))
    }
}
