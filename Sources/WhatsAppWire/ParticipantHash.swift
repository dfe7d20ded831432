import Primitives

/// The hash over the devices a message was encrypted for; the server's ack carries its own, and a difference means that our list is stale.
package enum ParticipantHash {
    /// `2:` and 8 characters of base64: the first 6 bytes of SHA-256 over the devices' AD strings, sorted by byte and joined (protocol.md 10.8).
    /// Order does not matter; a device given twice counts twice. The empty list gives `2:47DEQpj8`.
    package static func phash(_ devices: [JID]) -> String {
        let strings = devices.map { Array($0.adString.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        return "2:" + base64(Digest.sha256(Array(strings.joined())).prefix(6))
    }

    /// Standard base64 of 6 bytes, which need no padding.
    private static func base64(_ bytes: ArraySlice<UInt8>) -> String {
        let bits = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let characters = stride(from: 42, through: 0, by: -6).map { shift in alphabet[Int(bits >> UInt64(shift) & 63)] }
        return String(decoding: characters, as: UTF8.self)
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
}
