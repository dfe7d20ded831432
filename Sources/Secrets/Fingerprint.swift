import CSodium
import Primitives

/// BLAKE2b-256 under a random key of this process: lets a cache recognise a secret without holding it.
enum Fingerprint {
    static func make(_ message: [UInt8], key: SecretBytes) -> [UInt8] {
        Sodium.prepare()
        var digest = [UInt8](repeating: 0, count: 32)
        key.withPointer { _ = crypto_generichash(&digest, digest.count, message, UInt64(message.count), $0, key.count) }
        return digest
    }
}
