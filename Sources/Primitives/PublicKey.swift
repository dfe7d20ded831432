/// An X25519 public key: 32 bytes, the u coordinate, little endian.
///
/// Any 32 bytes are accepted here, as RFC 7748 asks; a key of small order is refused where it would do harm, at the key agreement
/// and at the check of a signature.
package struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    /// In bytes.
    package static let length = 32
    /// The byte that stands before the 32 in Signal's protobuf messages.
    package static let typeByte: UInt8 = 0x05

    /// The 32 bytes as they were given, unused top bit included.
    package let bytes: [UInt8]

    /// - Throws: `invalidLength` unless there are 32 bytes.
    package init(_ bytes: [UInt8]) throws(CryptoFailure) {
        guard bytes.count == Self.length else { throw CryptoFailure(.invalidLength) }
        self.bytes = bytes
    }

    /// The 33-byte form with its type byte.
    /// - Throws: `invalidLength`, or `invalidKey` for another type.
    package init(typed: [UInt8]) throws(CryptoFailure) {
        guard typed.count == Self.length + 1 else { throw CryptoFailure(.invalidLength) }
        guard typed[0] == Self.typeByte else { throw CryptoFailure(.invalidKey) }
        bytes = Array(typed.dropFirst())
    }

    init(computed bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The 33-byte form.
    package var typed: [UInt8] { [Self.typeByte] + bytes }

    /// Whether `signature` is an XEdDSA signature of `message` under this key. False for every malformed input: a length other than
    /// 64, a scalar that is not reduced, a key or R of small order, and u = −1, which has no Edwards form.
    package func isValidSignature(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        XEdDSA.isValid(signature, for: message, publicKey: self)
    }

    /// A peer's key identifies a person's device: it is not printed.
    package var description: String { "PublicKey(32 bytes)" }
}
