import CSodium
import Crypto
import CryptoExtras

// AES-256 only: nothing in the protocol uses a shorter key, so a key of another length is a mistake or an attack.

private func checkKey(_ key: [UInt8]) throws(CryptoFailure) {
    guard key.count == 32 else { throw CryptoFailure(.invalidLength) }
}

/// AES-256-GCM with a 12-byte nonce and a 16-byte tag at the end.
package enum AESGCM {
    /// In bytes.
    package static let nonceLength = 12
    /// In bytes.
    package static let tagLength = 16

    /// Whether the processor has what libsodium's implementation needs; about three times as fast for short frames, of which each connection has
    /// a lot. Elsewhere swift-crypto does the same in portable code.
    private static let hasInstructions: Bool = {
        Sodium.prepare()
        return crypto_aead_aes256gcm_is_available() == 1
    }()

    /// Ciphertext ‖ tag. Never seal twice with one nonce and key.
    /// - Throws: `invalidLength` for a key or nonce of the wrong length.
    package static func seal(_ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], aad: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        try checkKey(key)
        guard nonce.count == nonceLength else { throw CryptoFailure(.invalidLength) }
        guard hasInstructions else { return try sealPortably(plaintext, key: key, nonce: nonce, aad: aad) }
        var sealed = [UInt8](repeating: 0, count: plaintext.count + tagLength)
        var written: UInt64 = 0
        let status = crypto_aead_aes256gcm_encrypt(
            &sealed, &written, plaintext, UInt64(plaintext.count), aad, UInt64(aad.count), nil, nonce, key)
        guard status == 0, written == UInt64(sealed.count) else { throw CryptoFailure(.failed) }
        return sealed
    }

    /// The plaintext of ciphertext ‖ tag.
    /// - Throws: `authenticationFailed`; `invalidLength` for a key or nonce of the wrong length or a text shorter than a tag.
    package static func open(_ sealed: [UInt8], key: [UInt8], nonce: [UInt8], aad: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        try checkKey(key)
        guard nonce.count == nonceLength, sealed.count >= tagLength else { throw CryptoFailure(.invalidLength) }
        guard hasInstructions else { return try openPortably(sealed, key: key, nonce: nonce, aad: aad) }
        var plaintext = [UInt8](repeating: 0, count: sealed.count - tagLength)
        var written: UInt64 = 0
        let status = crypto_aead_aes256gcm_decrypt(
            &plaintext, &written, nil, sealed, UInt64(sealed.count), aad, UInt64(aad.count), nonce, key)
        guard status == 0, written == UInt64(plaintext.count) else { throw CryptoFailure(.authenticationFailed) }
        return plaintext
    }

    static func sealPortably(_ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], aad: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        do {
            let box = try AES.GCM.seal(plaintext, using: SymmetricKey(data: key), nonce: AES.GCM.Nonce(data: nonce), authenticating: aad)
            var sealed: [UInt8] = []
            sealed.reserveCapacity(plaintext.count + tagLength)
            sealed.append(contentsOf: box.ciphertext)
            sealed.append(contentsOf: box.tag)
            return sealed
        } catch {
            throw CryptoFailure(.failed)
        }
    }

    static func openPortably(_ sealed: [UInt8], key: [UInt8], nonce: [UInt8], aad: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        do {
            let box = try AES.GCM.SealedBox(
                nonce: AES.GCM.Nonce(data: nonce), ciphertext: sealed.dropLast(tagLength), tag: sealed.suffix(tagLength))
            return [UInt8](try AES.GCM.open(box, using: SymmetricKey(data: key), authenticating: aad))
        } catch {
            throw CryptoFailure(.authenticationFailed)
        }
    }
}

/// AES-256-CBC with PKCS#7 padding. It authenticates nothing: check the MAC first, then decrypt.
package enum AESCBC {
    /// - Throws: `invalidLength` for a key that is not 32 or an iv that is not 16 bytes long.
    package static func encrypt(_ plaintext: [UInt8], key: [UInt8], iv: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        try checkKey(key)
        guard iv.count == 16 else { throw CryptoFailure(.invalidLength) }
        do {
            return [UInt8](try AES._CBC.encrypt(plaintext, using: SymmetricKey(data: key), iv: AES._CBC.IV(ivBytes: iv)))
        } catch {
            throw CryptoFailure(.failed)
        }
    }

    /// - Throws: `invalidLength` for a wrong key or iv, no text, or a text that is not whole blocks; `invalidPadding`.
    package static func decrypt(_ ciphertext: [UInt8], key: [UInt8], iv: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        try checkKey(key)
        guard iv.count == 16, !ciphertext.isEmpty, ciphertext.count.isMultiple(of: 16) else { throw CryptoFailure(.invalidLength) }
        // Unpadded by hand: what the library accepts as padding is not ours to guess.
        var plaintext: [UInt8]
        do {
            plaintext = [UInt8](
                try AES._CBC.decrypt(ciphertext, using: SymmetricKey(data: key), iv: AES._CBC.IV(ivBytes: iv), noPadding: true))
        } catch {
            throw CryptoFailure(.failed)
        }
        guard let last = plaintext.last, (1...16).contains(last), plaintext.count >= Int(last),
            plaintext.suffix(Int(last)).allSatisfy({ $0 == last })
        else { throw CryptoFailure(.invalidPadding) }
        plaintext.removeLast(Int(last))
        return plaintext
    }
}

/// AES-256-CTR whose counter is the whole 16-byte iv, big endian. Encrypting and decrypting are the same.
package enum AESCTR {
    /// - Throws: `invalidLength` for a key that is not 32 or an iv that is not 16 bytes long.
    package static func apply(_ text: [UInt8], key: [UInt8], iv: [UInt8]) throws(CryptoFailure) -> [UInt8] {
        try checkKey(key)
        guard iv.count == 16 else { throw CryptoFailure(.invalidLength) }
        do {
            return [UInt8](try AES._CTR.encrypt(text, using: SymmetricKey(data: key), nonce: AES._CTR.Nonce(nonceBytes: iv)))
        } catch {
            throw CryptoFailure(.failed)
        }
    }
}
