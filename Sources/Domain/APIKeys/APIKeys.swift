package import Foundation
import Postgres
import Primitives
import Secrets

/// The credentials of programs.
package struct APIKeys: Sendable {
    /// A key and its secret, which is shown this once.
    package struct Created: Sendable {
        package let key: APIKey
        package let secret: String
    }

    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource
    let hasher: Argon2Hasher
    private let directory = KeyDirectory()
    private let verified: VerifiedKeyCache<APIKey.ID>

    init(databases: Databases, keys: AccountKeys, random: any RandomSource, hasher: Argon2Hasher) {
        self.databases = databases
        self.keys = keys
        self.random = random
        self.hasher = hasher
        verified = VerifiedKeyCache(random: random)
    }

    /// Makes a key. `allowedSenders` nil means all of the account's.
    /// - Throws: `Argon2Failure.overloaded`, `AccountGone`, `DatabaseError`.
    package func create(
        account: Account.ID, label: String, test: Bool, scopes: Set<APIKey.Scope> = Set(APIKey.Scope.allCases),
        allowedSenders: Set<Sender.ID>? = nil, expiresAt: Date? = nil, now: Date
    ) async throws -> Created {
        let sealer = try await keys.sealer(for: account)
        let secret = APIKeySecret.generate(test ? .test : .live, random: random)
        let verifier = try await hasher.hash(secret.peppered(with: keys.ring.gateway.apiKeyPepper))
        let id = APIKey.ID.make(at: now, random: random)
        _ = try await databases.api.transaction(Databases.accounts([account])) { transaction in
            try await transaction.lastStatement(
                "apiKeys.create",
                """
                INSERT INTO api_keys (account_id, key_id, lookup, verifier, label_sealed, test, scopes, allowed_senders, created_at, expires_at)
                VALUES (\(account), \(id), \(secret.publicID), \(verifier), \(sealer.seal(label, .keyLabel(id))), \(test),
                    \(scopes.map(\.rawValue).sorted()), \(allowedSenders.map { $0.sorted() } as [Sender.ID]?), \(now), \(expiresAt as Date?))
                """)
        }
        let key = APIKey(
            id: id, account: account, label: label, isTest: test, scopes: scopes, allowedSenders: allowedSenders, createdAt: now,
            expiresAt: expiresAt, lastUsedAt: nil, revokedAt: nil)
        return Created(key: key, secret: secret.reveal())
    }

    /// All keys of the account, newest first, revoked ones with an empty label once that is gone.
    package func list(_ account: Account.ID) async throws -> [APIKey] {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.transaction(Databases.accounts([account])) { transaction in
            try await transaction.lastQuery(
                "apiKeys.list",
                """
                SELECT key_id, label_sealed, test, scopes, allowed_senders, created_at, expires_at, last_used_at, revoked_at
                FROM api_keys
                WHERE account_id = \(account)
                ORDER BY key_id DESC
                """
            ) { row in
                let id = try row.column("key_id", as: APIKey.ID.self)
                return APIKey(
                    id: id, account: account,
                    label: try row.column("label_sealed", as: [UInt8]?.self).map { try sealer.openText($0, .keyLabel(id)) } ?? "",
                    isTest: try row["test"], scopes: Set(try row.column("scopes", as: [String].self).compactMap(APIKey.Scope.init)),
                    allowedSenders: try row.column("allowed_senders", as: [Sender.ID]?.self).map(Set.init), createdAt: try row["created_at"],
                    expiresAt: try row["expires_at"], lastUsedAt: try row["last_used_at"], revokedAt: try row["revoked_at"])
            }
        }
    }

    /// Revokes a key: its hash is gone at once, every node refuses it within five seconds. False: no such live key.
    package func revoke(_ id: APIKey.ID, account: Account.ID, now: Date) async throws -> Bool {
        let lookups = try await databases.api.transaction(Databases.accounts([account])) { transaction in
            try await transaction.lastQuery(
                "apiKeys.revoke",
                """
                UPDATE api_keys SET revoked_at = \(now), verifier = NULL
                WHERE account_id = \(account) AND key_id = \(id) AND revoked_at IS NULL
                RETURNING lookup
                """, as: { try $0.column("lookup", as: String.self) })
        }
        forgetAll(lookups)
        return !lookups.isEmpty
    }

    /// Who presents this text? Its checksum is checked before anything else, its row is at most four seconds old, its hash is computed at
    /// most once a minute, and once for all requests that present the same key at the same time. An unknown key id costs as much as a wrong
    /// secret. Without `mayHash` only a key is let in that was verified within the last minute; any other is `busy`, at no cost.
    /// - Throws: `AuthenticationFailure`, or `DatabaseError` when the database is away.
    package func authenticate(_ text: String, mayHash: Bool = true, now: Date) async throws -> Caller {
        let secret: APIKeySecret
        do { secret = try APIKeySecret.parse(text) } catch { throw AuthenticationFailure.malformed }
        let ticket = verified.ticket()
        guard mayHash || verified.find(secret, now: now) != nil else { throw AuthenticationFailure.busy }
        // In a flood of keys that nobody knows not even their rows are looked for.
        guard !hasher.isOverloaded || directory.find(secret.publicID, now: now) != nil || verified.find(secret, now: now) != nil else {
            throw AuthenticationFailure.busy
        }
        let record = try await record(of: secret.publicID, now: now)
        do {
            guard let record, let verifier = record.verifier else {
                _ = try await verified.verify(secret, as: nil, against: nil, ticket: ticket, now: now) { () async throws(Argon2Failure) in
                    try await hasher.verifyUnknown(secret.peppered(with: keys.ring.gateway.apiKeyPepper))
                }
                throw record == nil ? AuthenticationFailure.unknown : AuthenticationFailure.revoked
            }
            guard record.caller.isTest == (secret.mode == .test) else { throw AuthenticationFailure.unknown }
            let isRight = try await verified.verify(secret, as: record.id, against: verifier, ticket: ticket, now: now) {
                () async throws(Argon2Failure) in
                try await hasher.verify(secret.peppered(with: keys.ring.gateway.apiKeyPepper), against: verifier)
            }
            guard isRight else { throw AuthenticationFailure.unknown }
            guard record.isUsable else { throw AuthenticationFailure.revoked }
            if let expiresAt = record.expiresAt, expiresAt <= now { throw AuthenticationFailure.expired }
            if directory.isFirstUse(record.id, now: now) { try await noteUse(record, now: now) }
            return record.caller
        } catch Argon2Failure.overloaded {
            throw AuthenticationFailure.busy
        }
    }

    /// Forgets keys that were revoked through another door of this process.
    func forgetAll(_ lookups: [String]) {
        guard !lookups.isEmpty else { return }
        directory.removeAll()
        for lookup in lookups { verified.remove(publicID: lookup) }
    }

    private func record(of lookup: String, now: Date) async throws -> KeyDirectory.Record? {
        if let known = directory.find(lookup, now: now) { return known }
        let found = try await databases.api.queryOne(
            "apiKeys.find",
            """
            SELECT account_id, key_id, verifier, test, scopes, allowed_senders, expires_at, revoked_at, account_state, calling_code
            FROM gateway_find_api_key(\(lookup))
            """
        ) { row in
            let id = try row.column("key_id", as: APIKey.ID.self)
            let caller = Caller(
                account: try row["account_id"], key: id, isTest: try row["test"],
                scopes: Set(try row.column("scopes", as: [String].self).compactMap(APIKey.Scope.init)),
                allowedSenders: try row.column("allowed_senders", as: [Sender.ID]?.self).map(Set.init), callingCode: try row["calling_code"])
            let isUsable = try row.column("revoked_at", as: Date?.self) == nil && row.column("account_state", as: String.self) == "active"
            return KeyDirectory.Record(id: id, caller: caller, verifier: try row["verifier"], expiresAt: try row["expires_at"], isUsable: isUsable)
        }
        if let found { directory.remember(found, as: lookup, readAt: now) }
        return found
    }

    private func noteUse(_ record: KeyDirectory.Record, now: Date) async throws {
        _ = try await databases.api.transaction(Databases.accounts([record.caller.account])) { transaction in
            try await transaction.lastStatement(
                "apiKeys.noteUse",
                """
                UPDATE api_keys SET last_used_at = date_trunc('minute', \(now))
                WHERE account_id = \(record.caller.account) AND key_id = \(record.id)
                  AND (last_used_at IS NULL OR last_used_at < date_trunc('minute', \(now)))
                """)
        }
    }
}
