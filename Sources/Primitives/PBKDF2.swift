import Crypto
import CryptoExtras

/// PBKDF2-HMAC-SHA-256 (RFC 8018 §5.2), for the pairing code.
package enum PBKDF2 {
    /// `count` bytes of key. 131,072 rounds take tens of milliseconds: not on an event loop.
    /// - Throws: `invalidLength` for fewer than one round or byte.
    package static func sha256(password: [UInt8], salt: [UInt8], rounds: Int, count: Int) throws(CryptoFailure) -> [UInt8] {
        guard (1...Int(Int32.max)).contains(rounds), (1...1024).contains(count) else { throw CryptoFailure(.invalidLength) }
        do {
            // The checked variant refuses fewer than 210,000 rounds; WhatsApp's pairing fixes 131,072.
            let key = try KDF.Insecure.PBKDF2.deriveKey(
                from: password, salt: salt, using: .sha256, outputByteCount: count, unsafeUncheckedRounds: rounds)
            return key.withUnsafeBytes { [UInt8]($0) }
        } catch {
            throw CryptoFailure(.failed)
        }
    }
}
