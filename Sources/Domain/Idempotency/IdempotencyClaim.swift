import Foundation
import Postgres
import Secrets

/// A client's name for a request together with what it asks for, both as keyed hashes: who takes it first makes the resource, everybody
/// after that is told of it. `AcceptBatch` does the same for many messages in one statement.
struct IdempotencyClaim: Sendable {
    /// How long a key is remembered.
    static let lifetime: TimeInterval = 72 * 3600
    /// How long a request waits for the first one under its key.
    static let patience = TransactionSetting("lock_timeout", "2s")

    private let account: Account.ID
    private let keyIndex: [UInt8]
    private let fingerprint: [UInt8]

    /// `request` is the request's meaning, part by part.
    init(_ key: IdempotencyKey, request: [String], account: Account.ID, sealer: Sealer) {
        self.account = account
        keyIndex = Self.index(of: key, sealer)
        var canonical: [UInt8] = []
        for part in request { canonical += withUnsafeBytes(of: UInt32(part.utf8.count).littleEndian) { Array($0) } + Array(part.utf8) }
        fingerprint = sealer.blindIndex(canonical, purpose: .idempotency)
    }

    static func index(of key: IdempotencyKey, _ sealer: Sealer) -> [UInt8] { sealer.blindIndex([0] + Array(key.value.utf8), purpose: .idempotency) }

    /// Takes the key for a resource that the same transaction then makes; with a rollback it is free again.
    /// - Returns: the resource that an earlier request made; nil: this is the first.
    /// - Throws: `AcceptFailure.idempotencyKeyReused`, `.idempotencyInProgress`. The transaction must run with `patience`.
    func take(for resource: UUID, in transaction: Transaction, now: Date) async throws -> UUID? {
        do {
            let taken = try await transaction.execute(
                "idempotency.take",
                """
                INSERT INTO idempotency AS known (account_id, key_index, fingerprint, resource_id, expires_at)
                VALUES (\(account), \(keyIndex), \(fingerprint), \(resource), \(now.addingTimeInterval(Self.lifetime)))
                ON CONFLICT (account_id, key_index) DO UPDATE
                SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, expires_at = excluded.expires_at
                WHERE known.expires_at <= \(now)
                """)
            if taken == 1 { return nil }
        } catch let error as DatabaseError where error.sqlState == "55P03" {
            throw AcceptFailure(.idempotencyInProgress, "the first request with this key is not finished")
        }
        let earlier = try await transaction.queryOne(
            "idempotency.earlier",
            "SELECT resource_id, fingerprint FROM idempotency WHERE account_id = \(account) AND key_index = \(keyIndex)"
        ) { (resource: try $0.column("resource_id", as: UUID.self), fingerprint: try $0.column("fingerprint", as: [UInt8].self)) }
        // Swept away between the two statements: the next try is the first.
        guard let earlier else { throw AcceptFailure(.idempotencyInProgress, "the first request with this key has just been forgotten") }
        guard earlier.fingerprint == fingerprint else {
            throw AcceptFailure(.idempotencyKeyReused, "this idempotency key was used for another request")
        }
        return earlier.resource
    }
}
