import Foundation
import Postgres
import Primitives
import Secrets
import Synchronization

/// Unwraps data keys and remembers them for a minute, so that accepting a message reads no key.
final class AccountKeys: Sendable {
    private struct Entry {
        let sealer: Sealer
        let from: Date
    }

    private static let lifetime: TimeInterval = 60
    private static let capacity = 10_000

    private let database: Database
    private let keyRing: Mutex<KeyRing>
    private let random: any RandomSource
    private let now: @Sendable () -> Date
    private let entries = Mutex<[Account.ID: Entry]>([:])

    init(database: Database, keyRing: KeyRing, random: any RandomSource, now: @escaping @Sendable () -> Date) {
        self.database = database
        self.keyRing = Mutex(keyRing)
        self.random = random
        self.now = now
    }

    /// The ring as it is used now.
    var ring: KeyRing { keyRing.withLock { $0 } }

    func sealer(for account: Account.ID) async throws -> Sealer {
        let moment = now()
        let known = entries.withLock { $0[account] }
        if let known, (0..<Self.lifetime).contains(moment.timeIntervalSince(known.from)) { return known.sealer }
        let wrapped = try await database.transaction(Databases.accounts([account])) { transaction in
            try await transaction.lastQuery(
                "accounts.dataKey", "SELECT wrapped FROM account_data_keys WHERE account_id = \(account)",
                as: { try $0.column("wrapped", as: [UInt8].self) })
        }
        guard let wrapped = wrapped.first else {
            forget(account)
            throw AccountGone(account: account)
        }
        let sealer = Sealer(dataKey: try unwrap(wrapped, account: account), account: account.uuid, random: random)
        entries.withLock { entries in
            if entries.count >= Self.capacity { entries.removeAll() }
            entries[account] = Entry(sealer: sealer, from: moment)
        }
        return sealer
    }

    func forget(_ account: Account.ID) { entries.withLock { $0[account] = nil } }

    /// Another process may have rotated the ring since it was read: a key that is not known is looked for once more on disk.
    private func unwrap(_ wrapped: [UInt8], account: Account.ID) throws -> DataKey {
        let known = ring
        if known.ids.contains(try KeyRing.keyID(ofWrapped: wrapped)) { return try known.unwrap(wrapped, account: account.uuid) }
        let reopened = try KeyRing.open(directory: known.directory, createIfMissing: false)
        replace(reopened)
        return try reopened.unwrap(wrapped, account: account.uuid)
    }

    private func replace(_ ring: KeyRing) { keyRing.withLock { $0 = ring } }
}
