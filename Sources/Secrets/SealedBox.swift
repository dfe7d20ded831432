import CSodium
import Primitives

/// XChaCha20-Poly1305 (IETF) with a random 24-byte nonce in front. The nonce is long enough to be drawn at random for ever.
enum SealedBox {
    static let nonceLength = 24
    static let tagLength = 16
    static let overhead = nonceLength + tagLength

    /// Nonce ‖ ciphertext ‖ tag, appended to `header`.
    static func seal(_ plaintext: [UInt8], key: SecretBytes, aad: [UInt8], random: any RandomSource, header: [UInt8]) -> [UInt8] {
        Sodium.prepare()
        let nonce = random.bytes(nonceLength)
        precondition(nonce.count == nonceLength && key.count == 32, "a nonce has 24 bytes and a key 32")
        let start = header.count + nonceLength
        return [UInt8](unsafeUninitializedCapacity: start + plaintext.count + tagLength) { sealed, count in
            guard let base = sealed.baseAddress else { return }
            _ = sealed.initialize(from: header + nonce)
            var written: UInt64 = 0
            key.withPointer {
                _ = crypto_aead_xchacha20poly1305_ietf_encrypt(
                    base + start, &written, plaintext, UInt64(plaintext.count), aad, UInt64(aad.count), nil, nonce, $0)
            }
            count = start + Int(written)
        }
    }

    /// The plaintext of nonce ‖ ciphertext ‖ tag.
    static func open(_ sealed: ArraySlice<UInt8>, key: SecretBytes, aad: [UInt8]) throws(SecretsFailure) -> [UInt8] {
        guard sealed.count >= overhead, key.count == 32 else { throw SecretsFailure(.malformed) }
        Sodium.prepare()
        let nonce = Array(sealed.prefix(nonceLength))
        let text = Array(sealed.dropFirst(nonceLength))
        var plaintext = [UInt8](repeating: 0, count: text.count - tagLength)
        var written: UInt64 = 0
        let status = key.withPointer {
            crypto_aead_xchacha20poly1305_ietf_decrypt(
                &plaintext, &written, nil, text, UInt64(text.count), aad, UInt64(aad.count), nonce, $0)
        }
        guard status == 0, written == UInt64(plaintext.count) else { throw SecretsFailure(.authenticationFailed) }
        return plaintext
    }
}
