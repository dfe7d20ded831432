import Primitives

/// The phone's side of pairing by code (protocol.md 6.5, stages 2 and 3).
struct PrimaryPairing: Sendable {
    private static let iterations = 131_072

    private let companionKey: PublicKey
    private let ephemeral: PrivateKey
    /// What the phone sends: salt, iv, its ephemeral key under the code.
    let wrappedKey: [UInt8]

    /// - Parameter wrapped: 80 bytes of the companion: salt, iv, its ephemeral key under the code. A wrong code gives a wrong key, which shows only in `secret`.
    init(code: String, companion wrapped: [UInt8], random: any RandomSource) throws {
        guard wrapped.count == 80 else { throw SimulatorError(.invalidCode) }
        let salt = Array(wrapped[0..<32])
        let key = try PBKDF2.sha256(password: Array(code.utf8), salt: salt, rounds: Self.iterations, count: 32)
        companionKey = try PublicKey(try AESCTR.apply(Array(wrapped[48...]), key: key, iv: Array(wrapped[32..<48])))
        ephemeral = PrivateKey(random: random)
        // The salt again, so that the slow derivation runs once; the iv differs.
        let iv = random.bytes(16)
        wrappedKey = salt + iv + (try AESCTR.apply(ephemeral.publicKey.bytes, key: key, iv: iv))
    }

    /// The secret that authenticates the pairing, if the companion's bundle proves that it knew the same code.
    func secret(bundle: [UInt8], companionIdentity: PublicKey, account: PrivateKey) throws -> [UInt8] {
        guard bundle.count == 156 else { throw SimulatorError(.invalidCode) }
        let shared = try ephemeral.sharedSecret(with: companionKey)
        let key = try HKDF256.derive(shared, salt: Array(bundle[0..<32]), info: Array("link_code_pairing_key_bundle_encryption_key".utf8), count: 32)
        let content = try AESGCM.open(Array(bundle[44...]), key: key, nonce: Array(bundle[32..<44]), aad: [])
        guard content.count == 96, Array(content[0..<32]) == companionIdentity.bytes, Array(content[32..<64]) == account.publicKey.bytes else {
            throw SimulatorError(.invalidCode)
        }
        let identities = try account.sharedSecret(with: companionIdentity)
        return try HKDF256.derive(shared + identities + content[64...], salt: [], info: Array("adv_secret".utf8), count: 32)
    }
}
