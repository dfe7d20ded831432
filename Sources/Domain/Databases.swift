import Foundation
package import Postgres

/// The logins, each with its own pool: what serves requests cannot do what the engine does, and neither can do what the cron does.
/// Migrations run over a fourth login, before this one is made.
package struct Databases: Sendable {
    /// `gateway_api`
    package let api: Database
    /// `gateway_engine`
    package let engine: Database
    /// `gateway_cron`
    package let cron: Database
    /// `gateway_engine` too, over connections of its own: whatever the others are busy with, leases are renewed in time.
    package let leases: Database

    /// - Parameter leases: nil: leases share the engine's connections.
    package init(api: Database, engine: Database, cron: Database, leases: Database? = nil) {
        self.api = api
        self.engine = engine
        self.cron = cron
        self.leases = leases ?? engine
    }

    /// The setting without which a transaction sees no tenant's rows: the accounts it may touch.
    package static func accounts(_ ids: some Sequence<Account.ID>) -> [TransactionSetting] {
        [TransactionSetting("gateway.accounts", "{" + Set(ids).map(\.uuid.uuidString).sorted().joined(separator: ",") + "}")]
    }

    /// As `accounts`, for statements that walk rows in the order of an index, up to a limit: nothing is sorted, so that only this index serves. By
    /// costs another one may serve as well, since plans are kept and may have been made while the table was empty.
    package static func walks(_ ids: some Sequence<Account.ID>) -> [TransactionSetting] { accounts(ids) + [TransactionSetting("enable_sort", "off")] }
}

/// Channels of NOTIFY. They only shorten waiting; polling is the truth.
package enum Hint {
    /// Messages became due. The payload is `OutboxHints`'.
    package static let outbox = "gateway_outbox"
    /// A sender wants attention: a pairing was asked for, it is being removed. The payload is the sender's uuid.
    package static let senders = "gateway_senders"
}
