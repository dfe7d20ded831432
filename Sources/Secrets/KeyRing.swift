package import Primitives

package import struct Foundation.UUID

/// The key-encryption keys, read from a directory of 32-byte files of mode 0600 or tighter.
///
/// `kek-000001`, `kek-000002` … wrap the accounts' data keys; the highest is the one in use. `gateway-root` stands beside them and is
/// never rotated: what depends on it (hashes of API keys, the index of e-mail addresses) could not be made anew.
/// A ring is a value, a picture of the directory at one moment: open it again to see what another process added or destroyed.
package struct KeyRing: Sendable {
    /// The number in a key's file name, from 1 upwards.
    package typealias KeyID = UInt32

    private static let rootName = "gateway-root"
    private static let prefix = "kek-"
    private static let wrapFormat: UInt8 = 1
    /// Format byte, key id, data key version.
    private static let headerLength = 6

    package let directory: String
    /// The key that wraps from now on.
    package let currentID: KeyID
    /// Secrets of the whole gateway, the same on every node and for as long as the ring exists.
    package let gateway: GatewayKeys
    private let keys: [KeyID: SecretBytes]
    private let currentKey: SecretBytes

    /// Reads the ring. `createIfMissing` is for the first start only, when the database holds no account: a ring that has gone missing
    /// must not be answered with a new one. Nothing is ever added to a directory that holds a key-encryption key.
    /// - Throws: `KeyRingFailure`, whose description names the file and the command that helps.
    package static func open(
        directory: String, createIfMissing: Bool, random: any RandomSource = SystemRandom()
    ) throws(KeyRingFailure) -> KeyRing {
        if createIfMissing { try KeyFile.makeDirectory(directory) }
        var names = try KeyFile.names(in: directory)
        if ids(in: names).isEmpty {
            guard createIfMissing else {
                throw KeyRingFailure(.noKeys, path: directory, "no key-encryption key in \(directory): restore the directory from your backup")
            }
            // Root first: an interrupted first start leaves a directory without a key-encryption key, and the next one goes on.
            _ = try KeyFile.create(rootName, in: directory, random: random)
            _ = try KeyFile.create(name(of: 1), in: directory, random: random)
            names = try KeyFile.names(in: directory)
        }
        return try KeyRing(directory: directory, names: names)
    }

    private init(directory: String, names: [String]) throws(KeyRingFailure) {
        guard names.contains(Self.rootName) else {
            let path = directory + "/" + Self.rootName
            throw KeyRingFailure(.incomplete, path: path, "\(path) is missing: restore it from your backup")
        }
        var keys: [KeyID: SecretBytes] = [:]
        for id in Self.ids(in: names) { keys[id] = try KeyFile.read(directory + "/" + Self.name(of: id)) }
        guard let (currentID, currentKey) = keys.max(by: { $0.key < $1.key }) else {
            throw KeyRingFailure(.noKeys, path: directory, "no key-encryption key in \(directory)")
        }
        self.directory = directory
        self.currentID = currentID
        self.currentKey = currentKey
        self.keys = keys
        gateway = GatewayKeys(root: try KeyFile.read(directory + "/" + Self.rootName))
    }

    /// Ascending.
    package var ids: [KeyID] { keys.keys.sorted() }

    // MARK: Data keys

    /// Wraps a data key under the current key. The result names that key and belongs to this account only.
    package func wrap(_ dataKey: DataKey, account: UUID, random: any RandomSource = SystemRandom()) -> [UInt8] {
        let header = [Self.wrapFormat] + withUnsafeBytes(of: currentID.bigEndian) { [UInt8]($0) } + [dataKey.version]
        var plaintext = dataKey.secret.copyBytes()
        defer { Sodium.wipe(&plaintext) }
        return SealedBox.seal(
            plaintext, key: Subkeys.derive(1, .wrapping, from: currentKey), aad: Self.associatedData(header, account), random: random, header: header)
    }

    /// - Throws: `malformed`; `unknownKey` if the key-encryption key was destroyed; `authenticationFailed` for another account's.
    package func unwrap(_ wrapped: [UInt8], account: UUID) throws(SecretsFailure) -> DataKey {
        let id = try Self.keyID(ofWrapped: wrapped)
        guard let key = keys[id] else { throw SecretsFailure(.unknownKey) }
        let header = Array(wrapped.prefix(Self.headerLength))
        var plaintext = try SealedBox.open(
            wrapped.dropFirst(Self.headerLength), key: Subkeys.derive(1, .wrapping, from: key), aad: Self.associatedData(header, account))
        defer { Sodium.wipe(&plaintext) }
        return DataKey(version: header[5], secret: SecretBytes(copying: plaintext))
    }

    /// The key-encryption key that a wrapped data key needs; for rotation: what is not `currentID` is to be wrapped again.
    package static func keyID(ofWrapped wrapped: [UInt8]) throws(SecretsFailure) -> KeyID {
        guard wrapped.count == headerLength + SealedBox.overhead + 32, wrapped[0] == wrapFormat else { throw SecretsFailure(.malformed) }
        return wrapped[1..<5].reduce(0) { $0 << 8 | KeyID($1) }
    }

    // MARK: Rotation

    /// Adds a key and makes it the current one. If another process does the same at once, one new key comes out of it, not two.
    package func rotated(random: any RandomSource = SystemRandom()) throws(KeyRingFailure) -> KeyRing {
        let (next, overflow) = currentID.addingReportingOverflow(1)
        guard !overflow else { throw KeyRingFailure(.system, path: directory, "no key number is left in \(directory)") }
        _ = try KeyFile.create(Self.name(of: next), in: directory, random: random)
        return try Self.open(directory: directory, createIfMissing: false)
    }

    /// Destroys an old key for ever: whatever is wrapped under it alone can never be read again.
    /// - Throws: `inUse` for the current key, `unknownKey`, `system`.
    package func destroying(_ id: KeyID, random: any RandomSource = SystemRandom()) throws(KeyRingFailure) -> KeyRing {
        let path = directory + "/" + Self.name(of: id)
        guard id != currentID else { throw KeyRingFailure(.inUse, path: path, "\(path) is the newest key and in use: rotate first") }
        guard keys[id] != nil else { throw KeyRingFailure(.unknownKey, path: path, "\(path) is not in the ring") }
        try KeyFile.destroy(path, in: directory, random: random)
        return try Self.open(directory: directory, createIfMissing: false)
    }

    // MARK: Names

    /// The account and the whole header; both have a fixed length, so nothing can be read in two ways.
    private static func associatedData(_ header: [UInt8], _ account: UUID) -> [UInt8] {
        Array("wg.data-key.1".utf8) + header + account.byteString
    }

    private static func name(of id: KeyID) -> String {
        let digits = String(id)
        return prefix + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    private static func ids(in names: [String]) -> [KeyID] {
        names.compactMap { name in
            guard name.hasPrefix(prefix), let id = KeyID(name.dropFirst(prefix.count)), id > 0, Self.name(of: id) == name else { return nil }
            return id
        }
    }
}
