package import Primitives

/// The eight characters a user types on the phone to link a device without a camera, and what both sides derive from them
/// (protocol.md 6.5). It is a secret while the pairing runs: shown to the user, never logged.
package struct PairCode: Equatable, Sendable {
    /// Base32 with an alphabet of its own: no 0, I, O and U.
    private static let alphabet = Array("123456789ABCDEFGHJKLMNPQRSTVWXYZ".utf8)
    /// Fixed by the protocol.
    static let protocolRounds = 131_072
    static let wrappedLength = 80

    /// The characters without dash.
    package let text: String

    /// The code of 5 random bytes, most significant bits first.
    package init(random: any RandomSource) {
        self.init(bytes: random.bytes(5))
    }

    init(bytes: [UInt8]) {
        precondition(bytes.count == 5, "a pairing code is made of 5 bytes")
        let number = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let characters = (0..<8).map { Self.alphabet[Int(number >> (35 - 5 * $0) & 31)] }
        text = String(decoding: characters, as: UTF8.self)
    }

    /// Reads what a user typed, with or without dash, in either case; nil when it cannot be a code.
    package init?(_ typed: String) {
        let text = typed.uppercased().filter { $0 != "-" && $0 != " " }
        guard text.utf8.count == 8, text.utf8.allSatisfy(Self.alphabet.contains) else { return nil }
        self.text = text
    }

    /// `XXXX-XXXX`, the way it is shown.
    package var displayText: String { "\(text.prefix(4))-\(text.suffix(4))" }

    /// The key that wraps an ephemeral key. Takes tens of milliseconds: not on an event loop.
    package func key(salt: [UInt8]) throws(WireError) -> [UInt8] {
        try key(salt: salt, rounds: Self.protocolRounds)
    }

    func key(salt: [UInt8], rounds: Int) throws(WireError) -> [UInt8] {
        do {
            return try PBKDF2.sha256(password: Array(text.utf8), salt: salt, rounds: rounds, count: 32)
        } catch {
            throw WireError(.pairing, "code key")
        }
    }

    /// Salt ‖ iv ‖ encrypted key, 80 bytes.
    func wrap(_ key: PublicKey, salt: [UInt8], iv: [UInt8], rounds: Int) throws(WireError) -> [UInt8] {
        let wrappingKey = try self.key(salt: salt, rounds: rounds)
        do {
            return salt + iv + (try AESCTR.apply(key.bytes, key: wrappingKey, iv: iv))
        } catch {
            throw WireError(.pairing, "wrapping")
        }
    }

    /// The key in 80 wrapped bytes. With another code it is another key: nothing here tells, the key bundle does.
    /// - Throws: `pairing` for another length.
    func unwrap(_ wrapped: [UInt8], rounds: Int) throws(WireError) -> PublicKey {
        guard wrapped.count == Self.wrappedLength else { throw WireError(.pairing, "wrapped key length") }
        let wrappingKey = try key(salt: Array(wrapped[..<32]), rounds: rounds)
        do {
            return try PublicKey(try AESCTR.apply(Array(wrapped[48...]), key: wrappingKey, iv: Array(wrapped[32..<48])))
        } catch {
            throw WireError(.pairing, "wrapped key")
        }
    }
}

extension PairCode: CustomStringConvertible, CustomReflectable {
    package var description: String { "PairCode(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// The parts of the key bundle, the last message of a pairing by code, and the secret both sides draw from it (protocol.md 6.5, stage 3).
enum PairCodeBundle {
    private static let info = Array("link_code_pairing_key_bundle_encryption_key".utf8)
    static let length = 32 + 12 + 96 + 16

    /// Salt ‖ nonce ‖ sealed (companion identity ‖ phone identity ‖ random).
    static func seal(
        companion: PublicKey, phone: PublicKey, random: [UInt8], salt: [UInt8], nonce: [UInt8], shared: [UInt8]
    ) throws(WireError) -> [UInt8] {
        do {
            let key = try HKDF256.derive(shared, salt: salt, info: info, count: 32)
            return salt + nonce + (try AESGCM.seal(companion.bytes + phone.bytes + random, key: key, nonce: nonce, aad: []))
        } catch {
            throw WireError(.pairing, "key bundle")
        }
    }

    /// - Throws: `authenticationFailed` when the two sides used different codes, or something was changed; `pairing` for another length.
    static func open(_ bundle: [UInt8], shared: [UInt8]) throws(WireError) -> (companion: PublicKey, phone: PublicKey, random: [UInt8]) {
        guard bundle.count == length else { throw WireError(.pairing, "key bundle length") }
        let plaintext: [UInt8]
        do {
            let key = try HKDF256.derive(shared, salt: Array(bundle[..<32]), info: info, count: 32)
            plaintext = try AESGCM.open(Array(bundle[44...]), key: key, nonce: Array(bundle[32..<44]), aad: [])
        } catch {
            throw WireError(.authenticationFailed, "key bundle")
        }
        guard plaintext.count == 96 else { throw WireError(.pairing, "key bundle content") }
        return (
            try PublicKey(pairing: Array(plaintext[..<32])), try PublicKey(pairing: Array(plaintext[32..<64])), Array(plaintext[64...])
        )
    }

    static func advSecret(ephemeral: [UInt8], identity: [UInt8], random: [UInt8]) throws(WireError) -> [UInt8] {
        do {
            return try HKDF256.derive(ephemeral + identity + random, salt: [], info: Array("adv_secret".utf8), count: 32)
        } catch {
            throw WireError(.pairing, "adv secret")
        }
    }

    static func agree(_ own: PrivateKey, _ peer: PublicKey) throws(WireError) -> [UInt8] {
        do {
            return try own.sharedSecret(with: peer)
        } catch {
            throw WireError(.pairing, "key agreement")
        }
    }
}
