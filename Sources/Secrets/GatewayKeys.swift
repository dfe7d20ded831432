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
    private let alertIndexKey: SecretBytes
    private let mailKey: SecretBytes

    init(root: SecretBytes) {
        apiKeyPepper = Subkeys.derive(1, .gateway, from: root)
        emailIndexKey = Subkeys.derive(2, .gateway, from: root)
        passwordPepper = Subkeys.derive(3, .gateway, from: root)
        rateLimitKey = Subkeys.derive(4, .gateway, from: root)
        alertIndexKey = Subkeys.derive(5, .gateway, from: root)
        mailKey = Subkeys.derive(6, .gateway, from: root)
    }

    /// The 16-byte blind index of an e-mail address; addresses are unique over all accounts. The caller brings it to canonical form.
    package func emailIndex(_ address: String) -> [UInt8] {
        Subkeys.blindIndex(Array(address.utf8), key: emailIndexKey)
    }

    /// A 16-byte name for what a counter counts (a client's address, a key id), so that counters hold neither.
    package func counterIndex(_ subject: String) -> [UInt8] {
        Subkeys.blindIndex(Array(subject.utf8), key: rateLimitKey)
    }

    /// A 16-byte name for an address that alerts go to, or for a token that proves one: found in any account, and neither stands in the database.
    package func alertIndex(_ subject: String) -> [UInt8] {
        Subkeys.blindIndex(Array(subject.utf8), key: alertIndexKey)
    }

    /// Seals what outlives its account for a moment: an address that a deletion receipt goes to. `mail` is the row's id.
    package func sealMail(_ plaintext: [UInt8], mail: [UInt8], random: any RandomSource) -> [UInt8] {
        SealedBox.seal(plaintext, key: mailKey, aad: Array("wg.mail.1".utf8) + mail, random: random, header: [])
    }

    package func openMail(_ sealed: [UInt8], mail: [UInt8]) throws(SecretsFailure) -> [UInt8] {
        try SealedBox.open(sealed[...], key: mailKey, aad: Array("wg.mail.1".utf8) + mail)
    }
}
