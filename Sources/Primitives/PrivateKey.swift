import CSodium
import Synchronization

/// An X25519 private key. Clamped on entry, so what comes out may differ from what went in; both mean the same key.
package struct PrivateKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// In bytes.
    package static let length = 32

    private final class Storage: Sendable {
        let secret: SecretBytes
        // A scalar multiplication, 40 µs: made when first asked for, since many loaded keys only agree or sign.
        let publicKey: Mutex<PublicKey?>

        init(secret: SecretBytes, publicKey: PublicKey?) {
            self.secret = secret
            self.publicKey = Mutex(publicKey)
        }
    }

    private let storage: Storage

    /// A fresh key.
    package init(random: any RandomSource) {
        var bytes = random.bytes(Self.length)
        precondition(bytes.count == Self.length, "a random source gave too few bytes")
        self.init(clamping: &bytes, publicKey: nil)
    }

    /// - Throws: `invalidLength` unless there are 32 bytes.
    package init(_ bytes: [UInt8]) throws(CryptoFailure) {
        guard bytes.count == Self.length else { throw CryptoFailure(.invalidLength) }
        var copy = bytes
        self.init(clamping: &copy, publicKey: nil)
    }

    /// For a record of our own that keeps both halves: trusts `publicKey` and saves computing it.
    package init(_ bytes: [UInt8], trusting publicKey: PublicKey) throws(CryptoFailure) {
        guard bytes.count == Self.length else { throw CryptoFailure(.invalidLength) }
        var copy = bytes
        self.init(clamping: &copy, publicKey: publicKey)
    }

    private init(clamping bytes: inout [UInt8], publicKey: PublicKey?) {
        bytes[0] &= 248
        bytes[31] = bytes[31] & 127 | 64
        storage = Storage(secret: SecretBytes(copying: bytes), publicKey: publicKey)
        Sodium.wipe(&bytes)
    }

    /// The public half; computed once.
    package var publicKey: PublicKey {
        storage.publicKey.withLock { known in
            if let known { return known }
            var bytes = [UInt8](repeating: 0, count: Self.length)
            storage.secret.withPointer { _ = crypto_scalarmult_curve25519_base(&bytes, $0) }
            let computed = PublicKey(computed: bytes)
            known = computed
            return computed
        }
    }

    /// The clamped 32 bytes; the copy is not wiped by itself.
    package func copyBytes() -> [UInt8] { storage.secret.copyBytes() }

    /// X25519.
    /// - Throws: `weakSharedSecret` when the result is all zero: a failed handshake or session, never a thing to retry.
    package func sharedSecret(with peer: PublicKey) throws(CryptoFailure) -> [UInt8] {
        Sodium.prepare()
        var shared = [UInt8](repeating: 0, count: Self.length)
        let status = storage.secret.withPointer { crypto_scalarmult_curve25519(&shared, $0, peer.bytes) }
        guard status == 0, !shared.allSatisfy({ $0 == 0 }) else { throw CryptoFailure(.weakSharedSecret) }
        return shared
    }

    /// The 64-byte XEdDSA signature of `message`. `nonce` is 64 random bytes that are never used twice; other lengths are our mistake.
    package func signature(for message: [UInt8], nonce: [UInt8]) -> [UInt8] {
        precondition(nonce.count == XEdDSA.nonceLength, "XEdDSA needs 64 random bytes")
        Sodium.prepare()
        return storage.secret.withPointer { XEdDSA.sign(message, scalar: $0, nonce: nonce) }
    }

    /// The same with a nonce drawn from `random`.
    package func signature(for message: [UInt8], random: any RandomSource) -> [UInt8] {
        var nonce = random.bytes(XEdDSA.nonceLength)
        defer { Sodium.wipe(&nonce) }
        return signature(for: message, nonce: nonce)
    }

    package var description: String { "PrivateKey(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
