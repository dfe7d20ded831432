/// Why a cryptographic operation was refused. It names no value, so it may be logged.
package struct CryptoFailure: Error, Equatable, Sendable {
    /// Stable; safe as a metric label.
    package enum Code: String, Sendable {
        /// Bytes that are no key of this kind.
        case invalidKey
        /// A key, nonce, tag, text or wished output has an impossible length.
        case invalidLength
        /// The tag does not fit: wrong key, wrong associated data, or changed bytes. Deliberately not told apart.
        case authenticationFailed
        /// The last block is not PKCS#7. Callers check a MAC before they decrypt, so nobody else may see this.
        case invalidPadding
        /// The peer's public key has small order, so the shared secret would be all zero (RFC 7748 §6.1).
        case weakSharedSecret
        /// The library refused for another reason, such as no memory.
        case failed
    }

    package let code: Code

    package init(_ code: Code) {
        self.code = code
    }
}
