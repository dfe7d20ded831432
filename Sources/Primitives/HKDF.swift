import CSodium

/// HKDF-SHA-256 (RFC 5869), extract and expand in one. Runs several times per message, so it allocates two blocks and the result only.
package enum HKDF256 {
    /// `count` bytes of key, 1 to 255 · 32.
    ///
    /// An empty salt means 32 zero bytes, as the RFC says (HMAC pads short keys with zeros, so the two are the same).
    /// - Throws: `invalidLength` for a count outside its bounds.
    package static func derive(_ ikm: [UInt8], salt: [UInt8], info: [UInt8], count: Int) throws(CryptoFailure) -> [UInt8] {
        guard (1...255 * HMAC256.length).contains(count) else { throw CryptoFailure(.invalidLength) }
        var pseudorandomKey = HMAC256.authenticate(ikm, key: salt)
        var block = [UInt8](repeating: 0, count: HMAC256.length)
        var state = crypto_auth_hmacsha256_state()
        var keyed = crypto_auth_hmacsha256_state()
        defer {
            Sodium.wipe(&pseudorandomKey)
            Sodium.wipe(&block)
            sodium_memzero(&state, MemoryLayout.size(ofValue: state))
            sodium_memzero(&keyed, MemoryLayout.size(ofValue: keyed))
        }
        // T(n) = HMAC(PRK, T(n-1) ‖ info ‖ n); the padded key is hashed once and its state copied.
        crypto_auth_hmacsha256_init(&keyed, pseudorandomKey, pseudorandomKey.count)
        var output: [UInt8] = []
        output.reserveCapacity(count)
        var counter: UInt8 = 0
        while output.count < count {
            state = keyed
            if counter > 0 { crypto_auth_hmacsha256_update(&state, block, UInt64(block.count)) }
            counter += 1
            crypto_auth_hmacsha256_update(&state, info, UInt64(info.count))
            crypto_auth_hmacsha256_update(&state, &counter, 1)
            crypto_auth_hmacsha256_final(&state, &block)
            output.append(contentsOf: block.prefix(count - output.count))
        }
        return output
    }
}
