import Primitives

/// The keys of one pairwise message (protocol.md 9.6), used once.
struct MessageKeys {
    let cipherKey: [UInt8]
    let macKey: [UInt8]
    let iv: [UInt8]

    private static let info = [UInt8]("WhisperMessageKeys".utf8)

    init(seed: [UInt8]) throws(SignalError) {
        let bytes = try KeyDerivation.expand(seed, salt: [], info: Self.info, count: 80)
        cipherKey = Array(bytes[0..<32])
        macKey = Array(bytes[32..<64])
        iv = Array(bytes[64..<80])
    }
}

/// HKDF and key agreement with this room's errors.
enum KeyDerivation {
    private static let ratchetInfo = [UInt8]("WhisperRatchet".utf8)

    static func expand(_ secret: [UInt8], salt: [UInt8], info: [UInt8], count: Int) throws(SignalError) -> [UInt8] {
        do { return try HKDF256.derive(secret, salt: salt, info: info, count: count) } catch { throw SignalError(.cryptoFailure) }
    }

    /// A public key of the peer with which nothing can be agreed is `invalidKey`.
    static func agree(_ own: PrivateKey, _ theirs: PublicKey) throws(SignalError) -> [UInt8] {
        do { return try own.sharedSecret(with: theirs) } catch { throw SignalError(.invalidKey) }
    }

    /// A step of the Diffie-Hellman ratchet: the next root key and the chain key that begins under it.
    static func ratchet(root: [UInt8], own: PrivateKey, theirs: PublicKey) throws(SignalError) -> (root: [UInt8], chain: [UInt8]) {
        let bytes = try expand(try agree(own, theirs), salt: root, info: ratchetInfo, count: 64)
        return (Array(bytes[0..<32]), Array(bytes[32..<64]))
    }
}
