/// Why sealed bytes, a wrapped data key or a subkey were refused. It names no value, so it may be logged.
package struct SecretsFailure: Error, Equatable, Sendable {
    /// Stable; safe as a metric label.
    package enum Code: String, Sendable {
        /// Too short, or of a format that this version does not know.
        case malformed
        /// Made under a key-encryption key that the ring does not hold (any more).
        case unknownKey
        /// The tag does not fit: other key, other row, other account, or changed bytes. Deliberately not told apart.
        case authenticationFailed
    }

    package let code: Code

    package init(_ code: Code) {
        self.code = code
    }
}
