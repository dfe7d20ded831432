import CSodium

/// Ed25519 signatures (RFC 8032) from a 32-byte seed.
package enum Ed25519 {
    /// In bytes: a seed, a public key.
    package static let length = 32
    /// Of a signature, in bytes.
    package static let signatureLength = 64

    /// The public key of a seed; other lengths are our mistake.
    package static func publicKey(seed: SecretBytes) -> [UInt8] { keys(seed) { publicKey, _ in publicKey } }

    /// The signature of `message`; the same each time.
    package static func signature(for message: [UInt8], seed: SecretBytes) -> [UInt8] {
        keys(seed) { _, secretKey in
            var signature = [UInt8](repeating: 0, count: signatureLength)
            _ = crypto_sign_ed25519_detached(&signature, nil, message, UInt64(message.count), secretKey)
            return signature
        }
    }

    /// False for every malformed input, too.
    package static func isValid(_ signature: [UInt8], for message: [UInt8], publicKey: [UInt8]) -> Bool {
        guard signature.count == signatureLength, publicKey.count == length else { return false }
        Sodium.prepare()
        return crypto_sign_ed25519_verify_detached(signature, message, UInt64(message.count), publicKey) == 0
    }

    private static func keys<Result>(_ seed: SecretBytes, _ body: ([UInt8], [UInt8]) -> Result) -> Result {
        precondition(seed.count == length, "an Ed25519 seed has 32 bytes")
        Sodium.prepare()
        var publicKey = [UInt8](repeating: 0, count: length)
        var secretKey = [UInt8](repeating: 0, count: 64)
        defer { Sodium.wipe(&secretKey) }
        seed.withPointer { _ = crypto_sign_ed25519_seed_keypair(&publicKey, &secretKey, $0) }
        return body(publicKey, secretKey)
    }
}
