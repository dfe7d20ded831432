import Foundation
package import Primitives

/// What signs an endpoint's deliveries, after the Standard Webhooks specification: 32 bytes of its own, either a key for HMAC-SHA256 that the
/// receiver shares, or the seed of an Ed25519 key whose public half the receiver has.
package struct WebhookSecret: Sendable, CustomStringConvertible, CustomReflectable {
    package enum Signing: String, Sendable, CaseIterable { case symmetric, ed25519 }

    package let signing: Signing
    private let bytes: SecretBytes

    package init(_ signing: Signing, random: any RandomSource) {
        self.signing = signing
        bytes = SecretBytes(count: Ed25519.length, random: random)
    }

    /// nil unless there are 32 bytes, or for `symmetric` 24 to 64 (the specification's bounds).
    package init?(_ signing: Signing, copying bytes: [UInt8]) {
        guard signing == .symmetric ? (24...64).contains(bytes.count) : bytes.count == Ed25519.length else { return nil }
        self.signing = signing
        self.bytes = SecretBytes(copying: bytes)
    }

    /// For sealing.
    func copyBytes() -> [UInt8] { bytes.copyBytes() }

    /// What the receiver verifies with: `whsec_…`, which is a secret, or `whpk_…`, which is not.
    package func reveal() -> String {
        switch signing {
        case .symmetric: "whsec_" + Data(bytes.copyBytes()).base64EncodedString()
        case .ed25519: "whpk_" + Data(Ed25519.publicKey(seed: bytes)).base64EncodedString()
        }
    }

    /// One signature of `id.timestamp.body`, with its version in front. `timestamp` is in seconds since 1970.
    package func signature(id: String, timestamp: Int, body: [UInt8]) -> String {
        let message = Array("\(id).\(timestamp).".utf8) + body
        switch signing {
        case .symmetric: return "v1," + Data(HMAC256.authenticate(message, key: bytes.copyBytes())).base64EncodedString()
        case .ed25519: return "v1a," + Data(Ed25519.signature(for: message, seed: bytes)).base64EncodedString()
        }
    }

    package var description: String { "WebhookSecret(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
