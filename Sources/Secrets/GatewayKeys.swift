package import Primitives

/// Secrets of the whole gateway. They are subkeys of a file in the key ring and never stand in the database: a stolen dump alone can
/// neither test an API key or a password nor look up an e-mail address.
package struct GatewayKeys: Sendable {
    /// What API key secrets are authenticated with before they are hashed.
    package let apiKeyPepper: SecretBytes
    /// The same for passwords.
    package let passwordPepper: SecretBytes
    private let emailIndexKey: SecretBytes
    private let rateLimitKey: SecretBytes

    init(root: SecretBytes) {
        apiKeyPepper = Subkeys.derive(1, .gateway, from: root)
        emailIndexKey = Subkeys.derive(2, .gateway, from: root)
        passwordPepper = Subkeys.derive(3, .gateway, from: root)
        rateLimitKey = Subkeys.derive(4, .gateway, from: root)
    }

    /// The 16-byte blind index of an e-mail address; addresses are unique over all accounts. The caller brings it to canonical form.
    package func emailIndex(_ address: String) -> [UInt8] {
        Subkeys.blindIndex(Array(address.utf8), key: emailIndexKey)
    }

    /// A 16-byte name for what a counter counts (a client's address, a key id), so that counters hold neither.
    package func counterIndex(_ subject: String) -> [UInt8] {
        Subkeys.blindIndex(Array(subject.utf8), key: rateLimitKey)
    }
}
