import Domain
import Foundation
import Postgres
import Secrets

/// Keys and database belong together: a start with other keys would seal new rows under keys that open nothing of what is there.
enum KeyCheck {
    /// The ring in `directory`, after it has opened a data key of this database; nil when the database holds no account yet and a ring may be made.
    /// Reads only.
    /// - Parameter owner: sees every row.
    /// - Throws: `KeyRingFailure`; `Failure` when the ring is not this database's; `DatabaseError`.
    static func openRing(_ directory: String, of owner: Database) async throws -> KeyRing? {
        let samples = try await wrappedKeys(owner)
        guard !samples.isEmpty else { return nil }
        let ring = try KeyRing.open(directory: directory, createIfMissing: false)
        for sample in samples {
            do { _ = try ring.unwrap(sample.wrapped, account: sample.account) } catch {
                throw Failure(
                    "the key-encryption keys in \(directory) do not open this database (\(error.code.rawValue)): restore the keys that belong to it; "
                        + "nothing was changed")
            }
        }
        return ring
    }

    /// The oldest and the newest wrapped data key. None: no account was ever made.
    private static func wrappedKeys(_ owner: Database) async throws -> [(account: UUID, wrapped: [UInt8])] {
        let isMade = try await owner.queryOne(
            "keys.table", "SELECT to_regclass('public.account_data_keys') IS NOT NULL AS made", access: .readOnly
        ) { try $0.column("made", as: Bool.self) }
        guard isMade == true else { return [] }
        return try await owner.query(
            "keys.samples",
            """
            (SELECT account_id, wrapped FROM account_data_keys ORDER BY created_at, account_id LIMIT 1)
            UNION
            (SELECT account_id, wrapped FROM account_data_keys ORDER BY created_at DESC, account_id DESC LIMIT 1)
            ORDER BY account_id
            """, access: .readOnly
        ) { (account: try $0.column("account_id", as: UUID.self), wrapped: try $0.column("wrapped", as: [UInt8].self)) }
    }
}
