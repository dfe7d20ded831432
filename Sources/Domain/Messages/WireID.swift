import Primitives

/// WhatsApp's id of a message over one sender, fixed with the row and so the same after a crash, on another node, or from a backup
/// (reliability.md §2.3): `3EB0` and 18 hexadecimal digits.
package enum WireID {
    package static func make(nonce: [UInt8], sender: Sender.ID) -> String {
        let digest = Digest.sha256(Array("wamid/v1".utf8) + nonce + sender.bytes)
        return "3EB0" + Hex.encode(Array(digest.prefix(9))).uppercased()
    }

    /// MessageContextInfo.messageSecret: 32 bytes, as repeatable as the id.
    package static func messageSecret(nonce: [UInt8], sender: Sender.ID) throws -> [UInt8] {
        try HKDF256.derive(nonce, salt: [], info: Array("msg-secret/v1".utf8) + sender.bytes, count: 32)
    }
}
