/// Why a Signal operation was refused. Whatever a peer or a stored row contains ends here, never in a trap.
///
/// Nothing of a key, a plaintext or an address is in it, so it may be logged as it is.
package struct SignalError: Error, Hashable, Sendable {
    /// Stable, safe as a metric label.
    package enum Code: String, Sendable {
        /// Not the expected message: cut short, a required field missing, a field out of bounds.
        case malformedMessage
        /// The version in the high nibble of the first byte is not 3.
        case unsupportedVersion
        /// A public key of the peer that cannot be agreed with (wrong length, wrong type byte, small order).
        case invalidKey
        /// A signed prekey or a sender-key message whose signature does not verify.
        case invalidSignature
        /// No session to encrypt or decrypt with: a bundle, or a prekey message, has to come first.
        case noSession
        /// A prekey message names a signed prekey that is not ours.
        case unknownSignedPreKey
        /// A prekey message names a one-time prekey that is not ours, or no longer.
        case unknownPreKey
        /// A prekey message shows another identity than the session it continues, or the session is of another own identity.
        case identityMismatch
        /// The message key was used before, or was dropped as the oldest of too many.
        case duplicateMessage
        /// More than 2000 messages ahead of the chain.
        case tooFarAhead
        /// The MAC is wrong under every session: tampered, or for another session.
        case badMAC
        /// Authentic, and yet not decryptable: a block missing, wrong padding.
        case undecryptable
        /// The chain has used all its 2^32 - 1 counters.
        case chainExhausted
        /// A group message under a sender key that we were never given, or have dropped.
        case unknownSenderKey
        /// A stored record that this version did not write.
        case invalidRecord
        /// The crypto library refused for a reason that is not the peer's.
        case cryptoFailure
    }

    package let code: Code

    package init(_ code: Code) {
        self.code = code
    }
}
