import Foundation
package import Primitives
package import SignalProtocol
package import WhatsAppWire

/// What a paired device must keep to log in and to be recognised by peers (protocol.md 6.2). Prints nothing of itself.
package struct DeviceCredentials: Sendable, CustomStringConvertible {
    /// Static key of the Noise handshake.
    package var noiseKey: PrivateKey
    /// The companion's own Signal identity.
    package var identity: SignalIdentity
    /// The one signed prekey, id 1; it is not rotated (protocol.md 9.3).
    package var signedPreKey: SignedPreKeyPair
    /// Own device under the phone number, `P:dev@s.whatsapp.net`.
    package var jid: JID
    /// Own device under the LID, `L:dev@lid`.
    package var lid: JID
    /// The serialized `ADVSignedDeviceIdentity` with all four fields: the `device-identity` of messages (protocol.md 10.6).
    package var accountRecord: [UInt8]
    /// The account's signature key: the Signal identity of the own phone.
    package var accountKey: PublicKey
    /// The phone's platform as the server named it; empty if it did not.
    package var platform: String

    package init(
        noiseKey: PrivateKey, identity: SignalIdentity, signedPreKey: SignedPreKeyPair, jid: JID, lid: JID, accountRecord: [UInt8],
        accountKey: PublicKey,
        platform: String
    ) {
        self.noiseKey = noiseKey
        self.identity = identity
        self.signedPreKey = signedPreKey
        self.jid = jid
        self.lid = lid
        self.accountRecord = accountRecord
        self.accountKey = accountKey
        self.platform = platform
    }

    package var description: String { "DeviceCredentials(redacted)" }

    /// The own number, digits only.
    package var number: String { jid.user }

    /// Whether `other` is this user, in either form.
    package func isOwnUser(_ other: JID) -> Bool {
        (other.server == jid.server && other.user == jid.user) || (other.server == lid.server && other.user == lid.user)
    }
}

extension DeviceCredentials {
    /// Thrown when stored credentials cannot be read.
    package struct Unreadable: Error, Sendable {}

    private struct Stored: Codable {
        var version: Int
        var noise: String
        var identity: String
        var registration: UInt32
        var signedPreKeyID: UInt32
        var signedPreKey: String
        var signedPreKeySignature: String
        var jid: String
        var lid: String
        var account: String
        var accountKey: String
        var platform: String
    }

    /// The credentials as bytes to seal: versioned JSON. The bytes are secret.
    package func serialized() throws -> [UInt8] {
        let stored = Stored(
            version: 1, noise: Hex.encode(noiseKey.copyBytes()), identity: Hex.encode(identity.keyPair.copyBytes()),
            registration: identity.registrationID,
            signedPreKeyID: signedPreKey.id, signedPreKey: Hex.encode(signedPreKey.privateKey.copyBytes()),
            signedPreKeySignature: Hex.encode(signedPreKey.signature), jid: jid.description, lid: lid.description, account: Hex.encode(accountRecord),
            accountKey: Hex.encode(accountKey.bytes), platform: platform)
        return [UInt8](try JSONEncoder().encode(stored))
    }

    /// Reads what ``serialized()`` wrote.
    package init(serialized bytes: [UInt8]) throws {
        let stored = try JSONDecoder().decode(Stored.self, from: Data(bytes))
        guard stored.version == 1, let noise = Hex.decode(stored.noise), let identity = Hex.decode(stored.identity),
            let signedPreKey = Hex.decode(stored.signedPreKey), let signature = Hex.decode(stored.signedPreKeySignature), let jid = JID(stored.jid),
            let lid = JID(stored.lid), let account = Hex.decode(stored.account), let accountKey = Hex.decode(stored.accountKey)
        else { throw Unreadable() }
        self.init(
            noiseKey: try PrivateKey(noise), identity: SignalIdentity(keyPair: try PrivateKey(identity), registrationID: stored.registration),
            signedPreKey: SignedPreKeyPair(id: stored.signedPreKeyID, privateKey: try PrivateKey(signedPreKey), signature: signature), jid: jid,
            lid: lid,
            accountRecord: account, accountKey: try PublicKey(accountKey), platform: stored.platform)
    }
}
