import Domain
import Foundation
import Postgres
import Primitives
import Secrets
import WhatsApp

/// The private keys of a run as needles: the gateway's key files, and what the senders' devices keep sealed, opened with those files.
struct RunSecrets {
    let database: Database
    let keyDirectory: String

    func needles(account: Account.ID) async throws -> [Needle] {
        let keyRing = try KeyRing.open(directory: keyDirectory, createIfMissing: false)
        let wrapped = try await database.queryOne(
            "prove.data_key", "SELECT wrapped FROM account_data_keys WHERE account_id = \(account.uuid)", access: .readOnly
        ) { row in try row.column("wrapped", as: [UInt8].self) }
        guard let wrapped else { throw Stuck(description: "the account has no data key") }
        let sealer = Sealer(dataKey: try keyRing.unwrap(wrapped, account: account.uuid), account: account.uuid)
        return try keyFiles() + (await devices(account, sealer)) + (await preKeys(account, sealer)) + (await sessions(account, sealer))
    }

    private func keyFiles() throws -> [Needle] {
        try FileManager.default.contentsOfDirectory(atPath: keyDirectory).sorted().map { name in
            Needle(.keyFile, name, bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(keyDirectory)/\(name)"))))
        }
    }

    private func devices(_ account: Account.ID, _ sealer: Sealer) async throws -> [Needle] {
        let rows = try await database.query(
            "prove.devices", "SELECT sender_id, sealed FROM sender_devices WHERE account_id = \(account.uuid)", access: .readOnly
        ) { row in (Sender.ID(try row.column("sender_id", as: UUID.self)), try row.column("sealed", as: [UInt8].self)) }
        return try rows.flatMap { sender, sealed in
            let place = SealContext(table: "sender_devices", column: "sealed", rowID: sender.bytes)
            let credentials = try DeviceCredentials(serialized: try sealer.open(sealed, purpose: .credentials, context: place))
            return [
                Needle(.deviceKey, "Noise key", bytes: credentials.noiseKey.copyBytes()),
                Needle(.deviceKey, "identity key", bytes: credentials.identity.keyPair.copyBytes()),
                Needle(.deviceKey, "signed prekey", bytes: credentials.signedPreKey.privateKey.copyBytes()),
                Needle(.number, "sender", digits: credentials.jid.user), Needle(.lid, "sender", digits: credentials.lid.user),
            ]
        }
    }

    private func preKeys(_ account: Account.ID, _ sealer: Sealer) async throws -> [Needle] {
        let rows = try await database.query(
            "prove.prekeys",
            "SELECT sender_id, key_id, sealed FROM prekeys WHERE account_id = \(account.uuid) AND length(sealed) > 0", access: .readOnly
        ) { row in
            (
                Sender.ID(try row.column("sender_id", as: UUID.self)), try row.column("key_id", as: Int32.self),
                try row.column("sealed", as: [UInt8].self)
            )
        }
        return try rows.map { sender, id, sealed in
            let place = SealContext(table: "prekeys", column: "sealed", rowID: sender.bytes + withUnsafeBytes(of: id.bigEndian) { Array($0) })
            return Needle(.deviceKey, "prekey \(id)", bytes: try sealer.open(sealed, purpose: .signal, context: place))
        }
    }

    /// Of each session the 32 bytes in its middle, which no other session has.
    private func sessions(_ account: Account.ID, _ sealer: Sealer) async throws -> [Needle] {
        let rows = try await database.query(
            "prove.sessions", "SELECT sender_id, address_index, sealed FROM signal_sessions WHERE account_id = \(account.uuid)", access: .readOnly
        ) { row in
            (
                Sender.ID(try row.column("sender_id", as: UUID.self)), try row.column("address_index", as: [UInt8].self),
                try row.column("sealed", as: [UInt8].self)
            )
        }
        return try rows.enumerated().compactMap { index, row in
            let place = SealContext(table: "signal_sessions", column: "sealed", rowID: row.0.bytes + row.1)
            let opened = try sealer.open(row.2, purpose: .signal, context: place)
            guard opened.count >= 64 else { return nil }
            return Needle(.signalState, "session \(index + 1)", bytes: Array(opened[opened.count / 2 - 16..<opened.count / 2 + 16]))
        }
    }
}

/// A run that could not get where it has to be.
struct Stuck: Error, CustomStringConvertible {
    var description: String
}
