import Primitives
import SignalProtocol
import WhatsAppWire

extension PreKeyBundle {
    /// Reads the `user` element of a bundle answer (protocol.md 9.5), or a retry receipt, whose keys sit in `keys` (12.4); nil if anything is missing,
    /// has a wrong length, or the signed prekey's signature does not verify.
    init?(_ node: Node) {
        let keys = node.child("keys") ?? node
        guard let registration = node.child("registration")?.contentBytes ?? keys.child("registration")?.contentBytes, registration.count == 4,
            let identity = Self.key(keys.child("identity")), let signed = keys.child("skey"), let signedID = Self.id(signed.child("id")),
            let signedKey = Self.key(signed.child("value")), let signature = signed.child("signature")?.contentBytes, signature.count == 64
        else { return nil }
        var oneTime: (id: UInt32, key: PublicKey)?
        if let node = keys.child("key") {
            guard let id = Self.id(node.child("id")), let key = Self.key(node.child("value")) else { return nil }
            oneTime = (id, key)
        }
        self.init(
            registrationID: registration.reduce(0) { $0 << 8 | UInt32($1) }, identityKey: identity, signedPreKeyID: signedID, signedPreKey: signedKey,
            signature: signature, preKeyID: oneTime?.id, preKey: oneTime?.key)
        guard isSignatureValid else { return nil }
    }

    private static func key(_ node: Node?) -> PublicKey? {
        guard let bytes = node?.contentBytes else { return nil }
        do {
            return bytes.count == 33 ? try PublicKey(typed: bytes) : try PublicKey(bytes)
        } catch {
            return nil
        }
    }

    private static func id(_ node: Node?) -> UInt32? {
        guard let bytes = node?.contentBytes, bytes.count == 3 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

extension JID {
    /// The address of this device's Signal session; meaningful for LIDs (protocol.md 4.4).
    var signalAddress: SignalAddress { SignalAddress(name: signalName, device: UInt32(device)) }
}
