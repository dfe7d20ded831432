import Primitives

/// Message ids as web clients make them. Made once, when the message is accepted, and used for every attempt; a received id is opaque.
package enum MessageID {
    /// `3EB0` and 18 upper-case hex digits: 9 bytes of a SHA-256 over time, own number and random bytes (protocol.md 10.10).
    ///
    /// - Parameters:
    ///   - unixSeconds: the time of making.
    ///   - ownNumber: the digits of the own phone number; nil while not paired.
    ///   - random: 16 bytes.
    package static func make(unixSeconds: Int64, ownNumber: String?, random: [UInt8]) -> String {
        var input = (0..<8).map { UInt8(truncatingIfNeeded: unixSeconds >> (56 - 8 * $0)) }
        if let ownNumber {
            input += ownNumber.utf8
            input += "@c.us".utf8
        }
        input += random
        return prefix + Hex.encode(Array(Digest.sha256(input).prefix(9))).uppercased()
    }

    /// Whether the id has the form that `make` gives.
    package static func isWellFormed(_ id: String) -> Bool {
        let utf8 = id.utf8
        return utf8.count == 22 && utf8.starts(with: prefix.utf8) && utf8.dropFirst(prefix.utf8.count).allSatisfy(isUpperHex)
    }

    private static let prefix = "3EB0"

    private static func isUpperHex(_ character: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(character) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(character)
    }
}
