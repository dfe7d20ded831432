import Primitives

/// The first root and chain key of a session, from both roles (protocol.md 9.6). Version 3: no post-quantum part.
enum X3DH {
    /// Begins HKDF's input; tells X25519 sessions from others.
    private static let discontinuity = [UInt8](repeating: 0xff, count: 32)
    private static let info = [UInt8]("WhisperText".utf8)

    typealias Secret = (root: [UInt8], chain: [UInt8])

    static func initiator(
        identity: PrivateKey, baseKey: PrivateKey, theirIdentity: PublicKey, theirSignedPreKey: PublicKey, theirPreKey: PublicKey?
    ) throws(SignalError) -> Secret {
        var secret = discontinuity
        secret += try KeyDerivation.agree(identity, theirSignedPreKey)
        secret += try KeyDerivation.agree(baseKey, theirIdentity)
        secret += try KeyDerivation.agree(baseKey, theirSignedPreKey)
        if let theirPreKey { secret += try KeyDerivation.agree(baseKey, theirPreKey) }
        return try split(secret)
    }

    static func responder(
        identity: PrivateKey, signedPreKey: PrivateKey, preKey: PrivateKey?, theirIdentity: PublicKey, theirBaseKey: PublicKey
    ) throws(SignalError) -> Secret {
        var secret = discontinuity
        secret += try KeyDerivation.agree(signedPreKey, theirIdentity)
        secret += try KeyDerivation.agree(identity, theirBaseKey)
        secret += try KeyDerivation.agree(signedPreKey, theirBaseKey)
        if let preKey { secret += try KeyDerivation.agree(preKey, theirBaseKey) }
        return try split(secret)
    }

    private static func split(_ secret: [UInt8]) throws(SignalError) -> Secret {
        let bytes = try KeyDerivation.expand(secret, salt: [], info: info, count: 64)
        return (Array(bytes[0..<32]), Array(bytes[32..<64]))
    }
}
