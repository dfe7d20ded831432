import Primitives

/// The symmetric state that both sides of a handshake keep: Noise_XX_25519_AESGCM_SHA256 (protocol.md 2.4).
package struct NoiseState: Sendable {
    /// The protocol's name, padded to 32 bytes with zeros.
    package static let protocolName: [UInt8] = Array("Noise_XX_25519_AESGCM_SHA256".utf8) + [0, 0, 0, 0]

    /// Covers everything that was sent so far; authenticated with every encryption.
    package private(set) var hash: [UInt8]
    /// The chaining key.
    package private(set) var salt: [UInt8]
    package private(set) var key: [UInt8]
    package private(set) var counter: UInt32 = 0

    /// Before anything was mixed in.
    package init() {
        hash = Self.protocolName
        salt = Self.protocolName
        key = Self.protocolName
    }

    /// After the intro header, which both sides of a WhatsApp connection mix in first.
    package init(intro: [UInt8]) {
        self.init()
        mixHash(intro)
    }

    package mutating func mixHash(_ input: [UInt8]) {
        hash = Digest.sha256(hash + input)
    }

    /// Mixes in a shared secret: a new chaining key, a new cipher key, and the counter starts again.
    package mutating func mixKey(_ secret: [UInt8]) throws(WireError) {
        (salt, key) = try split(secret)
        counter = 0
    }

    /// Mixes in an agreement of two keys.
    /// - Throws: `handshake` when the peer's key is weak.
    mutating func mixKey(_ own: PrivateKey, _ peer: PublicKey) throws(WireError) {
        do {
            try mixKey(try own.sharedSecret(with: peer))
        } catch {
            throw WireError(.handshake, "key agreement")
        }
    }

    /// Ciphertext and tag.
    package mutating func encrypt(_ plaintext: [UInt8]) throws(WireError) -> [UInt8] {
        do {
            let sealed = try AESGCM.seal(plaintext, key: key, nonce: Self.nonce(counter), aad: hash)
            counter += 1
            mixHash(sealed)
            return sealed
        } catch {
            throw WireError(.handshake, "encryption")
        }
    }

    /// - Throws: `handshake`; then the handshake is over.
    package mutating func decrypt(_ sealed: [UInt8]) throws(WireError) -> [UInt8] {
        do {
            let plaintext = try AESGCM.open(sealed, key: key, nonce: Self.nonce(counter), aad: hash)
            counter += 1
            mixHash(sealed)
            return plaintext
        } catch {
            throw WireError(.handshake, "decryption")
        }
    }

    /// The two keys that the handshake ends with: the initiator writes with the first and reads with the second.
    package func transportKeys() throws(WireError) -> (first: [UInt8], second: [UInt8]) {
        try split([])
    }

    /// Eight zero bytes, then the counter in big endian.
    static func nonce(_ counter: UInt32) -> [UInt8] {
        [0, 0, 0, 0, 0, 0, 0, 0] + withUnsafeBytes(of: counter.bigEndian) { [UInt8]($0) }
    }

    private func split(_ secret: [UInt8]) throws(WireError) -> (first: [UInt8], second: [UInt8]) {
        do {
            let keys = try HKDF256.derive(secret, salt: salt, info: [], count: 64)
            return (Array(keys.prefix(32)), Array(keys.suffix(32)))
        } catch {
            throw WireError(.handshake, "key derivation")
        }
    }
}
