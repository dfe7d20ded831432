package import Primitives

/// Encrypts media files before upload, and decrypts those that our own phone sends (protocol.md 13.2, 13.3). Works on whole files in
/// memory; the caller bounds their size.
package enum MediaCipher {
    package static let keyLength = 32
    private static let macLength = 10

    /// What is derived from a media key.
    package struct Keys: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
        /// 16 bytes.
        package let iv: [UInt8]
        /// 32 bytes each.
        package let cipherKey: [UInt8]
        package let macKey: [UInt8]
        /// Derived with the others, used by nobody.
        package let referenceKey: [UInt8]

        /// - Throws: `media` unless the media key has 32 bytes.
        package init(_ mediaKey: [UInt8], kind: MediaKind) throws(WireError) {
            guard mediaKey.count == MediaCipher.keyLength else { throw WireError(.media, "media key length") }
            let bytes: [UInt8]
            do {
                bytes = try HKDF256.derive(mediaKey, salt: [], info: Array(kind.info.utf8), count: 112)
            } catch {
                throw WireError(.media, "media keys")
            }
            iv = Array(bytes[..<16])
            cipherKey = Array(bytes[16..<48])
            macKey = Array(bytes[48..<80])
            referenceKey = Array(bytes[80...])
        }

        package var description: String { "MediaCipher.Keys(redacted)" }
        package var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// An encrypted file, and what its message says about it.
    package struct File: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
        /// To be uploaded.
        package let encrypted: [UInt8]
        package let mediaKey: [UInt8]
        /// Hash and length of the plaintext.
        package let sha256: [UInt8]
        package let length: UInt64
        /// Hash of `encrypted`; also names the upload.
        package let encryptedSHA256: [UInt8]

        package var description: String { "MediaCipher.File(\(encrypted.count) bytes)" }
        package var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// Encrypts with a fresh key.
    package static func encrypt(_ plaintext: [UInt8], kind: MediaKind, random: any RandomSource) throws(WireError) -> File {
        try encrypt(plaintext, kind: kind, mediaKey: random.bytes(keyLength))
    }

    /// Encrypts with this key; the same input gives the same file.
    /// - Throws: `media` unless the key has 32 bytes.
    package static func encrypt(_ plaintext: [UInt8], kind: MediaKind, mediaKey: [UInt8]) throws(WireError) -> File {
        let keys = try Keys(mediaKey, kind: kind)
        var encrypted: [UInt8]
        do {
            encrypted = try AESCBC.encrypt(plaintext, key: keys.cipherKey, iv: keys.iv)
        } catch {
            throw WireError(.media, "encryption")
        }
        encrypted += mac(encrypted, keys)
        return File(
            encrypted: encrypted, mediaKey: mediaKey, sha256: Digest.sha256(plaintext), length: UInt64(plaintext.count),
            encryptedSHA256: Digest.sha256(encrypted))
    }

    /// The plaintext of a file: checks the hash of the whole, the MAC, and the hash of the plaintext, in this order.
    /// - Throws: `media` at the first that does not fit.
    package static func decrypt(
        _ encrypted: [UInt8], kind: MediaKind, mediaKey: [UInt8], sha256: [UInt8], encryptedSHA256: [UInt8]
    ) throws(WireError) -> [UInt8] {
        let keys = try Keys(mediaKey, kind: kind)
        guard constantTimeEqual(Digest.sha256(encrypted), encryptedSHA256) else { throw WireError(.media, "hash of the encrypted file") }
        guard encrypted.count >= 16 + macLength else { throw WireError(.media, "file is too short") }
        let ciphertext = Array(encrypted.dropLast(macLength))
        guard constantTimeEqual(mac(ciphertext, keys), Array(encrypted.suffix(macLength))) else { throw WireError(.media, "MAC") }
        let plaintext: [UInt8]
        do {
            plaintext = try AESCBC.decrypt(ciphertext, key: keys.cipherKey, iv: keys.iv)
        } catch {
            throw WireError(.media, "decryption")
        }
        guard constantTimeEqual(Digest.sha256(plaintext), sha256) else { throw WireError(.media, "hash of the file") }
        return plaintext
    }

    private static func mac(_ ciphertext: [UInt8], _ keys: Keys) -> [UInt8] {
        Array(HMAC256.authenticate(keys.iv + ciphertext, key: keys.macKey).prefix(macLength))
    }
}
