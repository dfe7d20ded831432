import CSodium

/// Signatures with Curve25519 agreement keys, in Signal's variant: the key is not negated, the sign of its Edwards form travels in the
/// top bit of the signature (`protocol.md` §9.2; shown by the vectors of `xeddsa.json`).
enum XEdDSA {
    static let nonceLength = 64
    static let signatureLength = 64

    /// 2^256 − 2 little endian: keeps the hash that makes r apart from every other use of SHA-512 (XEdDSA §2.4, hash1).
    private static let domain: [UInt8] = [0xFE] + [UInt8](repeating: 0xFF, count: 31)

    /// The group order, little endian: 2^252 + 27742317777372353535851937790883648493.
    private static let groupOrder: [UInt8] =
        [0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14] + [UInt8](repeating: 0, count: 15) + [0x10]

    /// `scalar` is the clamped private key, 32 bytes; `nonce` has 64.
    static func sign(_ message: [UInt8], scalar: UnsafePointer<UInt8>, nonce: [UInt8]) -> [UInt8] {
        var edwards = [UInt8](repeating: 0, count: 32)
        crypto_scalarmult_ed25519_base_noclamp(&edwards, scalar)

        var r = hash([(domain, 32), (nil, 0), (message, message.count), (nonce, 64)], secret: scalar)
        defer { Sodium.wipe(&r) }
        var signature = [UInt8](repeating: 0, count: signatureLength)
        crypto_scalarmult_ed25519_base_noclamp(&signature, r)

        let challenge = hash([(signature, 32), (edwards, 32), (message, message.count)], secret: nil)
        // a modulo L: the scalar functions want reduced inputs.
        var wide = [UInt8](repeating: 0, count: 64)
        var reduced = [UInt8](repeating: 0, count: 32)
        var product = [UInt8](repeating: 0, count: 32)
        var s = [UInt8](repeating: 0, count: 32)
        defer {
            Sodium.wipe(&wide)
            Sodium.wipe(&reduced)
            Sodium.wipe(&product)
        }
        for index in 0..<32 { wide[index] = scalar[index] }
        crypto_core_ed25519_scalar_reduce(&reduced, wide)
        crypto_core_ed25519_scalar_mul(&product, challenge, reduced)
        crypto_core_ed25519_scalar_add(&s, r, product)
        signature.replaceSubrange(32..<64, with: s)
        signature[63] |= edwards[31] & 0x80
        return signature
    }

    static func isValid(_ signature: [UInt8], for message: [UInt8], publicKey: PublicKey) -> Bool {
        guard signature.count == signatureLength, var edwards = edwardsY(ofMontgomery: publicKey.bytes) else { return false }
        Sodium.prepare()
        var plain = signature
        edwards[31] |= plain[63] & 0x80
        plain[63] &= 0x7F
        guard isReduced(plain[32...]) else { return false }
        return crypto_sign_ed25519_verify_detached(plain, message, UInt64(message.count), edwards) == 0
    }

    /// y = (u − 1) / (u + 1), 32 bytes with sign 0. `nil` for u = −1, whose denominator is zero, and for a wrong length.
    static func edwardsY(ofMontgomery bytes: [UInt8]) -> [UInt8]? {
        guard let u = FieldElement(bytes) else { return nil }
        let denominator = u + .one
        guard !denominator.isZero else { return nil }
        return ((u - .one) * denominator.inverse).bytes
    }

    /// Whether a 32-byte little-endian scalar is below the group order. A signature whose s is not could be written in several ways.
    private static func isReduced(_ scalar: ArraySlice<UInt8>) -> Bool {
        for (byte, limit) in zip(scalar.reversed(), groupOrder.reversed()) where byte != limit { return byte < limit }
        return false
    }

    /// SHA-512 over the parts (the first `count` bytes of each; `nil` stands for the 32 secret bytes), modulo the group order.
    private static func hash(_ parts: [(bytes: [UInt8]?, count: Int)], secret: UnsafePointer<UInt8>?) -> [UInt8] {
        var state = crypto_hash_sha512_state()
        crypto_hash_sha512_init(&state)
        for part in parts {
            if let bytes = part.bytes {
                crypto_hash_sha512_update(&state, bytes, UInt64(min(part.count, bytes.count)))
            } else if let secret {
                crypto_hash_sha512_update(&state, secret, 32)
            }
        }
        var digest = [UInt8](repeating: 0, count: 64)
        crypto_hash_sha512_final(&state, &digest)
        var reduced = [UInt8](repeating: 0, count: 32)
        crypto_core_ed25519_scalar_reduce(&reduced, digest)
        Sodium.wipe(&digest)
        sodium_memzero(&state, MemoryLayout.size(ofValue: state))
        return reduced
    }
}
