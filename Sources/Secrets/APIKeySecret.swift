package import Primitives

/// Why a text is no API key. Said before any hash is computed and before the database is asked.
package enum InvalidAPIKey: String, Error, Sendable {
    case badPrefix, badLength, badAlphabet, badChecksum
}

/// An API key as its holder has it: `wg_live_` or `wg_test_`, 12 base62 characters of public id, 43 of a 256-bit secret, 6 of the
/// CRC-32 over all before. 69 characters, no separators.
///
/// Shown once, by `reveal()`; everything else prints it redacted.
package struct APIKeySecret: Sendable, CustomStringConvertible, CustomReflectable {
    /// `test` keys reach the simulator only.
    package enum Mode: String, CaseIterable, Sendable {
        case live, test

        package var prefix: String { "wg_\(rawValue)_" }
    }

    private static let idLength = 12
    private static let secretLength = 43
    private static let checksumLength = 6
    /// In characters.
    package static let length = 8 + idLength + secretLength + checksumLength

    package let mode: Mode
    /// The 12 characters by which the key is looked up; no secret.
    package let publicID: String
    private let secret: SecretBytes

    /// A fresh key.
    package static func generate(_ mode: Mode, random: any RandomSource = SystemRandom()) -> APIKeySecret {
        // 16 bytes for 12 digits (71 bits): the lowest digits of so much larger a number are even.
        let id = Base62.encode(random.bytes(16), digits: idLength)
        return APIKeySecret(mode: mode, publicID: String(decoding: id, as: UTF8.self), secret: SecretBytes(count: 32, random: random))
    }

    private init(mode: Mode, publicID: String, secret: SecretBytes) {
        self.mode = mode
        self.publicID = publicID
        self.secret = secret
    }

    /// Reads what a client presented. Costs a few microseconds whatever it is given.
    /// - Throws: the first thing that is wrong, in the order prefix, length, alphabet, checksum.
    package static func parse(_ text: String) throws(InvalidAPIKey) -> APIKeySecret {
        let characters = text.utf8
        guard let mode = Mode.allCases.first(where: { characters.starts(with: $0.prefix.utf8) }) else { throw .badPrefix }
        guard characters.count == length else { throw .badLength }
        let body = Array(characters.dropFirst(mode.prefix.utf8.count))
        guard body.allSatisfy({ Base62.value(of: $0) != nil }) else { throw .badAlphabet }
        guard Array(body.suffix(checksumLength)) == checksum(characters.dropLast(checksumLength)) else { throw .badChecksum }
        let secret = body.dropFirst(idLength).prefix(secretLength)
        // 43 digits can say slightly more than 256 bits; such a text was never given out.
        guard var bytes = Base62.decode(secret, count: 32) else { throw .badAlphabet }
        defer { Sodium.wipe(&bytes) }
        return APIKeySecret(mode: mode, publicID: String(decoding: body.prefix(idLength), as: UTF8.self), secret: SecretBytes(copying: bytes))
    }

    /// The whole text, for the one answer that shows it.
    package func reveal() -> String {
        var text = Array(mode.prefix.utf8) + Array(publicID.utf8)
        text += secret.withBytes { Base62.encode([UInt8]($0), digits: Self.secretLength) }
        return String(decoding: text + Self.checksum(text), as: UTF8.self)
    }

    /// HMAC-SHA-256 of the secret under the gateway's pepper: what Argon2id hashes, so that the stored hash alone tests no guess.
    package func peppered(with pepper: SecretBytes) -> SecretBytes {
        var (key, message) = (pepper.copyBytes(), secret.copyBytes())
        var tag = HMAC256.authenticate(message, key: key)
        defer {
            Sodium.wipe(&key)
            Sodium.wipe(&message)
            Sodium.wipe(&tag)
        }
        return SecretBytes(copying: tag)
    }

    /// A keyed hash of the whole key, for the cache of verified keys.
    func fingerprint(key: SecretBytes) -> [UInt8] {
        var message = secret.copyBytes()
        defer { Sodium.wipe(&message) }
        return Fingerprint.make(Array(mode.prefix.utf8) + Array(publicID.utf8) + message, key: key)
    }

    private static func checksum(_ characters: some Sequence<UInt8>) -> [UInt8] {
        let value = CRC32.checksum(characters)
        return Base62.encode(withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }, digits: checksumLength)
    }

    package var description: String { "APIKeySecret(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
