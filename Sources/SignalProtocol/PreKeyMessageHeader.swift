package import Primitives

/// A session's first messages on the wire, type `pkmsg`: `33 | protobuf` around a `SignalMessage` (protocol.md 9.7).
///
/// The caller parses it first, to load the keys that it names. Nothing in it is authentic before `SessionCipher.decrypt` accepts it.
package struct PreKeyMessageHeader: Sendable {
    /// The sender's.
    package let registrationID: UInt32
    /// Our one-time prekey; nil if the sender had none.
    package let preKeyID: UInt32?
    /// Our signed prekey.
    package let signedPreKeyID: UInt32
    package let identityKey: PublicKey
    package let baseKey: PublicKey
    /// The complete inner `SignalMessage`.
    package let message: [UInt8]

    /// - Throws: `malformedMessage`, `unsupportedVersion`, `invalidKey`. An absent registration id is zero, as in protobuf.
    package static func parse(_ bytes: [UInt8]) throws(SignalError) -> PreKeyMessageHeader {
        guard let version = bytes.first, bytes.count > 1 else { throw SignalError(.malformedMessage) }
        guard version >> 4 == 3 else { throw SignalError(.unsupportedVersion) }
        var reader = try ProtobufReader(bytes, 1..<bytes.count)
        var registrationID: UInt32 = 0
        var preKeyID: UInt32?
        var signedPreKeyID: UInt32?
        var identityKey: PublicKey?
        var baseKey: PublicKey?
        var message: Range<Int>?
        while let field = try reader.next() {
            switch field.number {
            case 1: preKeyID = try field.number32()
            case 2: baseKey = try PublicKey(peer: bytes[try field.range()])
            case 3: identityKey = try PublicKey(peer: bytes[try field.range()])
            case 4: message = try field.range()
            case 5: registrationID = try field.number32()
            case 6: signedPreKeyID = try field.number32()
            default: continue
            }
        }
        guard let signedPreKeyID, let identityKey, let baseKey, let message else { throw SignalError(.malformedMessage) }
        return PreKeyMessageHeader(
            registrationID: registrationID, preKeyID: preKeyID, signedPreKeyID: signedPreKeyID, identityKey: identityKey, baseKey: baseKey,
            message: Array(bytes[message]))
    }

    /// The complete prekey message.
    func encoded() -> [UInt8] {
        var writer = ProtobufWriter(prefix: SignalMessage.versionByte, capacity: message.count + 100)
        if let preKeyID { writer.append(1, preKeyID) }
        writer.append(2, baseKey.typed)
        writer.append(3, identityKey.typed)
        writer.append(4, message)
        writer.append(5, registrationID)
        writer.append(6, signedPreKeyID)
        return writer.bytes
    }
}
