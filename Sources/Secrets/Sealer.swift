package import struct Foundation.UUID
package import Primitives

/// The place that a sealed value belongs to. A value moved to another table, column or row does not open there.
package struct SealContext: Hashable, Sendable {
    package let table: String
    package let column: String
    /// The row's primary key without the account, in whatever encoding the caller keeps to.
    package let rowID: [UInt8]

    package init(table: String, column: String, rowID: [UInt8]) {
        self.table = table
        self.column = column
        self.rowID = rowID
    }
}

/// Seals what is stored for one account, and indexes what must be found again.
///
/// A sealed value is: format byte 1, data key version, 24-byte random nonce, ciphertext, 16-byte tag; 42 bytes more than its plaintext.
package struct Sealer: Sendable {
    package static let overhead = 2 + SealedBox.overhead
    private static let format: UInt8 = 1

    package let account: UUID
    private let dataKey: DataKey
    private let random: any RandomSource

    package init(dataKey: DataKey, account: UUID, random: any RandomSource = SystemRandom()) {
        self.dataKey = dataKey
        self.account = account
        self.random = random
    }

    /// The same with nonces from another source of randomness, such as a block drawn for many values at once.
    package func drawing(from random: any RandomSource) -> Sealer { Sealer(dataKey: dataKey, account: account, random: random) }

    package func seal(_ plaintext: [UInt8], purpose: Purpose, context: SealContext) -> [UInt8] {
        SealedBox.seal(
            plaintext, key: dataKey.subkey(purpose), aad: associatedData(context, purpose: purpose, version: dataKey.version), random: random,
            header: [Self.format, dataKey.version])
    }

    /// - Throws: `malformed`, `unknownKey` for a value under another data key version, `authenticationFailed`.
    package func open(_ sealed: [UInt8], purpose: Purpose, context: SealContext) throws(SecretsFailure) -> [UInt8] {
        guard sealed.count >= Self.overhead, sealed[0] == Self.format else { throw SecretsFailure(.malformed) }
        guard sealed[1] == dataKey.version else { throw SecretsFailure(.unknownKey) }
        return try SealedBox.open(
            sealed.dropFirst(2), key: dataKey.subkey(purpose), aad: associatedData(context, purpose: purpose, version: sealed[1]))
    }

    /// 16 bytes that are equal for equal values of one purpose in one account, and tell nothing to anybody without its data key.
    /// Give it a canonical form: it knows nothing of upper case or of a plus sign.
    package func blindIndex(_ value: [UInt8], purpose: Purpose) -> [UInt8] {
        Subkeys.blindIndex(value, key: dataKey.indexKey(purpose))
    }

    /// Every part of variable length has its length in front, so that no two places share an encoding.
    private func associatedData(_ context: SealContext, purpose: Purpose, version: UInt8) -> [UInt8] {
        var data: [UInt8] = []
        data.reserveCapacity(96 + context.rowID.count)
        func append(_ count: Int) { withUnsafeBytes(of: UInt64(count).bigEndian) { data.append(contentsOf: $0) } }
        data.append(contentsOf: "wg.sealed.1".utf8)
        data.append(version)
        data.append(purpose.rawValue)
        withUnsafeBytes(of: account.uuid) { data.append(contentsOf: $0) }
        for part in [context.table, context.column] {
            append(part.utf8.count)
            data.append(contentsOf: part.utf8)
        }
        append(context.rowID.count)
        data.append(contentsOf: context.rowID)
        return data
    }
}

extension UUID {
    /// The 16 bytes.
    var byteString: [UInt8] { withUnsafeBytes(of: uuid) { [UInt8]($0) } }
}
