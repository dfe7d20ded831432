import Domain
import Foundation
import Postgres
import Primitives
import Secrets
import SignalProtocol
import WhatsApp
import WhatsAppWire

/// The durable state of one linked device, sealed under its account's data key, in PostgreSQL.
///
/// Every write is fenced: it changes nothing and throws `StaleEpoch` once another node has taken the sender over. Addresses stand as blind
/// indexes, so that no row leads back to a recipient without the account's data key.
struct SealedDeviceStore: DeviceStore {
    /// Another node owns the sender now, or may: nothing was written, or nothing may be done with what was.
    struct StaleEpoch: Error {}

    let gateway: Gateway
    let sealer: Sealer
    let owner: OwnedSender
    /// Asked after each commit, since bytes may follow it: whether the lease can be trusted still.
    let isTrusted: @Sendable () -> Bool
    let now: @Sendable () -> Date
    let memory: DeviceMemory
    let reads: SignalReads

    /// - Parameters:
    ///   - memory: shared by all stores of one session.
    ///   - reads: shared by all sessions of one node; nil: one of its own.
    init(
        gateway: Gateway, sealer: Sealer, owner: OwnedSender, isTrusted: @escaping @Sendable () -> Bool, now: @escaping @Sendable () -> Date,
        memory: DeviceMemory = DeviceMemory(), reads: SignalReads? = nil
    ) {
        self.gateway = gateway
        self.sealer = sealer
        self.owner = owner
        self.isTrusted = isTrusted
        self.now = now
        self.memory = memory
        self.reads = reads ?? SignalReads(gateway.databases.engine)
    }

    var database: Database { gateway.databases.engine }
    var account: UUID { owner.account.uuid }
    var sender: UUID { owner.sender.uuid }
    var settings: [TransactionSetting] { Databases.accounts([owner.account]) }

    // MARK: Credentials

    func credentials() async throws -> DeviceCredentials? {
        let sealed = try await database.queryOne(
            "devices.credentials",
            """
            SELECT sealed
            FROM sender_devices
            WHERE account_id = \(account) AND sender_id = \(sender)
            """, settings: settings, access: .readOnly
        ) { row in try row.column("sealed", as: [UInt8].self) }
        guard let sealed else { return nil }
        return try DeviceCredentials(serialized: try sealer.open(sealed, purpose: .credentials, context: credentialsPlace))
    }

    private var credentialsPlace: SealContext { SealContext(table: "sender_devices", column: "sealed", rowID: owner.sender.bytes) }

    // MARK: Writing

    func commit(_ changes: DeviceChanges) async throws {
        guard !changes.isEmpty else { return }
        let revision = memory.nextRevision()
        let statements = try writes(changes, revision)
        if changes.credentials != nil { Failpoint.hit(.pairedBegin) }
        do {
            try await database.transaction(settings) { transaction in
                try Self.check(try await transaction.pipeline([fence()] + statements))
                guard let credentials = changes.credentials else { return }
                let number = try? E164(digits: credentials.number)
                try await gateway.senders.paired(owner, number: number, in: transaction, now: now())
            }
        } catch {
            memory.doubted(changes)
            throw error
        }
        memory.committed(changes, revision: revision)
        if changes.credentials != nil { Failpoint.hit(.paired) }
        guard isTrusted() else { throw StaleEpoch() }
    }

    /// What a message writes before its first byte, with the plaintext that answers retry receipts for it. A send advances sessions and learns
    /// identities and does nothing else. The caller tells `memory`, which gave the revision, what became of it.
    func writes(_ changes: DeviceChanges, revision: Int64, sent: SentMessage, message: Message.ID) throws -> DeviceWrites {
        DeviceWrites(
            sessions: changes.sessions.compactMap { address, record in record.map { sealed($0, for: address, revision) } },
            identities: changes.identities.compactMap { address, key in key.map { sealed($0, for: address, revision) } },
            sentMessage: sealer.seal(sent.sealedForm(), purpose: .signal, context: sentMessagePlace(message)))
    }

    /// Locks the lease row against a take-over until the transaction ends, if the epoch is still ours.
    private func fence() -> Statement {
        Statement(
            "devices.fence",
            """
            SELECT epoch
            FROM sender_leases
            WHERE account_id = \(account) AND sender_id = \(sender) AND epoch = \(owner.epoch)
            FOR SHARE
            """)
    }

    /// The first result is the fence's: no row, and the transaction must not be committed.
    private static func check(_ results: [StatementResult]) throws {
        guard let fence = results.first, try fence.rows(as: { row in try row.column("epoch", as: Int64.self) }).count == 1 else { throw StaleEpoch() }
    }

    private func writes(_ changes: DeviceChanges, _ revision: Int64) throws -> [Statement] {
        var writes: [Statement] = []
        if changes.erasesDevice { writes += eraseStatements() }
        if let credentials = changes.credentials { writes.append(try credentialsStatement(credentials)) }
        writes += sessionStatements(changes.sessions, revision)
        writes += identityStatements(changes.identities, revision)
        writes += preKeyStatements(changes)
        return writes
    }

    private func credentialsStatement(_ credentials: DeviceCredentials) throws -> Statement {
        let sealed = sealer.seal(try credentials.serialized(), purpose: .credentials, context: credentialsPlace)
        return Statement(
            "devices.save",
            """
            INSERT INTO sender_devices (account_id, sender_id, sealed, updated_at)
            VALUES (\(account), \(sender), \(sealed), \(now()))
            ON CONFLICT (account_id, sender_id) DO UPDATE
            SET sealed = excluded.sealed, updated_at = excluded.updated_at
            """)
    }

    private func eraseStatements() -> [Statement] {
        ["sender_devices", "signal_sessions", "signal_identities", "prekeys"].map { table in
            Statement("devices.erase", "DELETE FROM \(unescaped: table) WHERE account_id = \(account) AND sender_id = \(sender)")
        }
    }

    // MARK: Retry plaintexts

    func sentMessage(id: String) async throws -> SentMessage? {
        let row = try await database.queryOne(
            "devices.sent_message",
            """
            SELECT s.message_id, s.sealed
            FROM wire_ids w
            JOIN sent_messages s ON s.account_id = w.account_id AND s.message_id = w.message_id AND s.sender_id = w.sender_id
            WHERE w.account_id = \(account) AND w.sender_id = \(sender) AND w.wire_id = \(id)
            """, settings: settings, access: .readOnly
        ) { row in (try row.column("message_id", as: UUID.self), try row.column("sealed", as: [UInt8].self)) }
        guard let (message, sealed) = row else { return nil }
        return try SentMessage(sealedForm: try sealer.open(sealed, purpose: .signal, context: sentMessagePlace(Message.ID(message))), id: id)
    }

    private func sentMessagePlace(_ message: Message.ID) -> SealContext {
        SealContext(table: "sent_messages", column: "sealed", rowID: message.bytes + owner.sender.bytes)
    }
}
