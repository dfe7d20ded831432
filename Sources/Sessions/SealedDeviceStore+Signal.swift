import Domain
import Foundation
import Postgres
import Primitives
import Secrets
import SignalProtocol
import WhatsApp

/// Signal sessions, identities and one-time prekeys.
extension SealedDeviceStore {
    func signalRecords(for addresses: [SignalAddress]) async throws -> [SignalAddress: SignalRecord] {
        let (known, version) = memory.records(addresses)
        let unknown = addresses.filter { known[$0] == nil }
        var records = known.filter { $0.value.session != nil || $0.value.identity != nil }
        guard !unknown.isEmpty else { return records }
        let (found, revisions) = try await storedRecords(of: unknown)
        memory.keep(found, of: unknown, revisions: revisions, version: version)
        records.merge(found) { $1 }
        return records
    }

    private func storedRecords(
        of addresses: [SignalAddress]
    ) async throws -> (records: [SignalAddress: SignalRecord], revisions: [SignalAddress: Int64]) {
        let byIndex = Dictionary(addresses.map { (index($0), $0) }) { first, _ in first }
        var records: [SignalAddress: SignalRecord] = [:]
        var revisions: [SignalAddress: Int64] = [:]
        for row in try await reads.rows(SignalReads.Request(owner: owner, indexes: Array(byIndex.keys))) {
            memory.saw(revision: row.revision)
            guard let address = byIndex[row.index] else { continue }
            revisions[address] = max(revisions[address] ?? 0, row.revision)
            if row.isSession {
                records[address, default: SignalRecord()].session = try SessionRecord(
                    serialized: try sealer.open(row.sealed, purpose: .signal, context: sessionPlace(row.index)))
            } else {
                let opened = try sealer.open(row.sealed, purpose: .signal, context: identityPlace(row.index))
                records[address, default: SignalRecord()].identity = try IdentityRow(opened).key
            }
        }
        return (records, revisions)
    }

    func addresses(ofUser name: String) async throws -> [SignalAddress] {
        let user = userIndex(name)
        let rows = try await database.query(
            "signal.addresses",
            """
            SELECT address_index, sealed
            FROM signal_identities
            WHERE account_id = \(account) AND sender_id = \(sender) AND user_index = \(user)
            ORDER BY address_index
            """, settings: settings, access: .readOnly
        ) { row in (try row.column("address_index", as: [UInt8].self), try row.column("sealed", as: [UInt8].self)) }
        return try rows.map { index, sealed in
            SignalAddress(name: name, device: try IdentityRow(try sealer.open(sealed, purpose: .signal, context: identityPlace(index))).device)
        }
    }

    func preKeys(_ ids: [UInt32]) async throws -> [PreKeyPair] {
        let wanted = ids.map(Int32.init(clamping:))
        return try await readPreKeys(
            "prekeys.find",
            """
            SELECT key_id, sealed
            FROM prekeys
            WHERE account_id = \(account) AND sender_id = \(sender) AND key_id = ANY (\(wanted)) AND length(sealed) > 0
            ORDER BY key_id
            """)
    }

    func unuploadedPreKeys(limit: Int) async throws -> [PreKeyPair] {
        try await readPreKeys(
            "prekeys.unuploaded",
            """
            SELECT key_id, sealed
            FROM prekeys
            WHERE account_id = \(account) AND sender_id = \(sender) AND NOT uploaded
            ORDER BY key_id
            LIMIT \(limit)
            """)
    }

    func preKeyState() async throws -> (nextID: UInt32, unuploaded: Int, everUploaded: Bool) {
        let row = try await database.queryOne(
            "prekeys.state",
            """
            SELECT coalesce(max(key_id), 0) + 1 AS next_id, count(*) FILTER (WHERE NOT uploaded) AS unuploaded,
                coalesce(bool_or(uploaded), false) AS ever_uploaded
            FROM prekeys
            WHERE account_id = \(account) AND sender_id = \(sender)
            """, settings: settings, access: .readOnly
        ) { row in
            (
                nextID: UInt32(clamping: try row.column("next_id", as: Int32.self)), unuploaded: Int(try row.column("unuploaded", as: Int64.self)),
                everUploaded: try row.column("ever_uploaded", as: Bool.self)
            )
        }
        return row ?? (1, 0, false)
    }

    private func readPreKeys(_ name: String, _ sql: SQL) async throws -> [PreKeyPair] {
        let rows = try await database.query(name, sql, settings: settings, access: .readOnly) { row in
            (try row.column("key_id", as: Int32.self), try row.column("sealed", as: [UInt8].self))
        }
        return try rows.map { id, sealed in
            let opened = try sealer.open(sealed, purpose: .signal, context: preKeyPlace(id))
            return PreKeyPair(id: UInt32(clamping: id), privateKey: try PrivateKey(opened))
        }
    }

    // MARK: Statements

    func sessionStatements(_ sessions: [SignalAddress: SessionRecord?], _ revision: Int64) -> [Statement] {
        var rows: [DeviceWrites.Row] = []
        var gone: [[UInt8]] = []
        for (address, record) in sessions {
            if let record { rows.append(sealed(record, for: address, revision)) } else { gone.append(index(address)) }
        }
        return upsert("signal_sessions", rows) + delete("signal_sessions", gone)
    }

    func identityStatements(_ identities: [SignalAddress: PublicKey?], _ revision: Int64) -> [Statement] {
        var rows: [DeviceWrites.Row] = []
        var gone: [[UInt8]] = []
        for (address, key) in identities {
            if let key { rows.append(sealed(key, for: address, revision)) } else { gone.append(index(address)) }
        }
        return upsert("signal_identities", rows) + delete("signal_identities", gone)
    }

    func preKeyStatements(_ changes: DeviceChanges) -> [Statement] {
        var writes: [Statement] = []
        if !changes.newPreKeys.isEmpty {
            let ids = changes.newPreKeys.map { Int32(clamping: $0.id) }
            let sealed = changes.newPreKeys.map { key in
                sealer.seal(key.privateKey.copyBytes(), purpose: .signal, context: preKeyPlace(Int32(clamping: key.id)))
            }
            writes.append(
                Statement(
                    "prekeys.add",
                    """
                    INSERT INTO prekeys (account_id, sender_id, key_id, sealed)
                    SELECT \(account), \(sender), key_id, sealed
                    FROM unnest(\(ids), \(sealed)) AS added (key_id, sealed)
                    """))
        }
        if !changes.uploadedPreKeys.isEmpty {
            let ids = changes.uploadedPreKeys.map(Int32.init(clamping:))
            writes.append(
                Statement(
                    "prekeys.uploaded",
                    """
                    UPDATE prekeys
                    SET uploaded = true
                    WHERE account_id = \(account) AND sender_id = \(sender) AND key_id = ANY (\(ids))
                    """))
        }
        if !changes.removedPreKeys.isEmpty {
            let ids = changes.removedPreKeys.map(Int32.init(clamping:))
            // The key goes, its id stays as an empty row: ids are never given twice (protocol.md 9.4).
            writes.append(
                Statement(
                    "prekeys.consumed",
                    """
                    UPDATE prekeys
                    SET sealed = '', uploaded = true
                    WHERE account_id = \(account) AND sender_id = \(sender) AND key_id = ANY (\(ids))
                    """))
        }
        return writes
    }

    func sealed(_ record: SessionRecord, for address: SignalAddress, _ revision: Int64) -> DeviceWrites.Row {
        let index = index(address)
        return DeviceWrites.Row(
            address: index, user: userIndex(address.name),
            sealed: sealer.seal(record.serialized(), purpose: .signal, context: sessionPlace(index)), revision: revision)
    }

    func sealed(_ key: PublicKey, for address: SignalAddress, _ revision: Int64) -> DeviceWrites.Row {
        let index = index(address)
        let row = IdentityRow(device: address.device, key: key)
        return DeviceWrites.Row(
            address: index, user: userIndex(address.name), sealed: sealer.seal(row.bytes, purpose: .signal, context: identityPlace(index)),
            revision: revision)
    }

    private func upsert(_ table: String, _ rows: [DeviceWrites.Row]) -> [Statement] {
        guard !rows.isEmpty else { return [] }
        return [
            Statement(
                "signal.upsert",
                """
                INSERT INTO \(unescaped: table) AS r (account_id, sender_id, address_index, user_index, sealed, revision, updated_at)
                SELECT \(account), \(sender), address_index, user_index, sealed, revision, \(now())
                FROM unnest(\(rows.map(\.address)), \(rows.map(\.user)), \(rows.map(\.sealed)), \(rows.map(\.revision)))
                    AS changed (address_index, user_index, sealed, revision)
                ORDER BY address_index
                ON CONFLICT (account_id, sender_id, address_index) DO UPDATE
                SET sealed = excluded.sealed, revision = excluded.revision, updated_at = excluded.updated_at
                WHERE r.revision < excluded.revision
                """)
        ]
    }

    private func delete(_ table: String, _ indexes: [[UInt8]]) -> [Statement] {
        guard !indexes.isEmpty else { return [] }
        return [
            Statement(
                "signal.delete",
                """
                DELETE FROM \(unescaped: table)
                WHERE account_id = \(account) AND sender_id = \(sender) AND address_index = ANY (\(indexes))
                """)
        ]
    }

    // MARK: Places

    private func index(_ address: SignalAddress) -> [UInt8] { sealer.blindIndex(Array(address.description.utf8), purpose: .index) }
    private func userIndex(_ name: String) -> [UInt8] { sealer.blindIndex(Array(name.utf8), purpose: .index) }
    private func sessionPlace(_ index: [UInt8]) -> SealContext {
        SealContext(table: "signal_sessions", column: "sealed", rowID: owner.sender.bytes + index)
    }
    private func identityPlace(_ index: [UInt8]) -> SealContext {
        SealContext(table: "signal_identities", column: "sealed", rowID: owner.sender.bytes + index)
    }
    private func preKeyPlace(_ id: Int32) -> SealContext {
        SealContext(table: "prekeys", column: "sealed", rowID: owner.sender.bytes + withUnsafeBytes(of: id.bigEndian) { Array($0) })
    }
}

/// An identity as it is sealed: the device number (4 bytes, big endian), then the 32 bytes of the key. The number stands inside the seal
/// because the row's address is a blind index, which cannot be turned back into one.
private struct IdentityRow {
    struct Malformed: Error {}

    var device: UInt32
    var key: PublicKey

    init(device: UInt32, key: PublicKey) {
        self.device = device
        self.key = key
    }

    init(_ bytes: [UInt8]) throws {
        guard bytes.count == 36 else { throw Malformed() }
        device = bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        key = try PublicKey(Array(bytes.dropFirst(4)))
    }

    var bytes: [UInt8] { withUnsafeBytes(of: device.bigEndian) { Array($0) } + key.bytes }
}
