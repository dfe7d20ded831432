package import Primitives

/// One of our one-time prekeys. The server hands its public half to one peer, who starts a session with it.
package struct PreKeyPair: Sendable, CustomStringConvertible {
    /// 24 bits on the wire, from 1, never reused (protocol.md 9.4).
    package var id: UInt32
    package var privateKey: PrivateKey

    package init(id: UInt32, privateKey: PrivateKey) {
        self.id = id
        self.privateKey = privateKey
    }

    /// Draws one key from `random`.
    package static func make(id: UInt32, random: any RandomSource) -> PreKeyPair {
        PreKeyPair(id: id, privateKey: PrivateKey(random: random))
    }

    package var publicKey: PublicKey { privateKey.publicKey }
    package var description: String { "PreKeyPair(redacted)" }
}

/// Our medium-term prekey, signed by the identity key over its 33-byte form (protocol.md 9.3).
package struct SignedPreKeyPair: Sendable, CustomStringConvertible {
    package var id: UInt32
    package var privateKey: PrivateKey
    /// 64 bytes, XEdDSA.
    package var signature: [UInt8]

    package init(id: UInt32, privateKey: PrivateKey, signature: [UInt8]) {
        self.id = id
        self.privateKey = privateKey
        self.signature = signature
    }

    /// Draws the key, then the signature's 64 bytes, from `random`.
    package static func make(id: UInt32, identity: PrivateKey, random: any RandomSource) -> SignedPreKeyPair {
        let key = PrivateKey(random: random)
        return SignedPreKeyPair(id: id, privateKey: key, signature: identity.signature(for: key.publicKey.typed, random: random))
    }

    package var publicKey: PublicKey { privateKey.publicKey }
    package var description: String { "SignedPreKeyPair(redacted)" }
}

/// What the server hands out about a peer's device, to start a session with it (protocol.md 9.5). Not yet verified: `SessionCipher.begin` does that.
package struct PreKeyBundle: Hashable, Sendable {
    package var registrationID: UInt32
    package var identityKey: PublicKey
    package var signedPreKeyID: UInt32
    package var signedPreKey: PublicKey
    /// By the identity key over the 33-byte signed prekey.
    package var signature: [UInt8]
    /// Both or neither: the server may have run out of one-time prekeys. One without the other counts as neither.
    package var preKeyID: UInt32?
    package var preKey: PublicKey?

    package init(
        registrationID: UInt32, identityKey: PublicKey, signedPreKeyID: UInt32, signedPreKey: PublicKey, signature: [UInt8], preKeyID: UInt32? = nil,
        preKey: PublicKey? = nil
    ) {
        self.registrationID = registrationID
        self.identityKey = identityKey
        self.signedPreKeyID = signedPreKeyID
        self.signedPreKey = signedPreKey
        self.signature = signature
        self.preKeyID = preKeyID
        self.preKey = preKey
    }

    /// Whether the signed prekey was signed by the identity key.
    package var isSignatureValid: Bool {
        signature.count == 64 && identityKey.isValidSignature(signature, for: signedPreKey.typed)
    }
}
