import Primitives
import SignalProtocol
import WhatsAppWire

/// Ciphertexts of one message, device by device, with the writes that must be durable before they leave. Nothing outside of it changes.
struct SealedCopies: Sendable {
    struct Copy: Sendable {
        var device: JID
        var ciphertext: Ciphertext

        func node(mediaType: String?, count: Int? = nil) -> Node {
            Node(
                "enc",
                [
                    "v": "2", "type": .string(ciphertext.kind.rawValue), "count": count.map { .number($0) },
                    "mediatype": mediaType.map { .string($0) },
                ], bytes: ciphertext.bytes)
        }
    }

    private(set) var copies: [Copy] = []
    private(set) var changes = DeviceChanges()
    /// Devices whose identity key is another one than before (protocol.md 9.8).
    private(set) var changedIdentities = 0
    private let own: SignalIdentity
    private let random: any RandomSource

    init(own: SignalIdentity, random: any RandomSource) {
        self.own = own
        self.random = random
    }

    /// Encrypts for one device. The bundle is used when there is no session, or to replace it.
    /// - Throws: the device gets no copy; nothing of it is in `changes`.
    mutating func add(_ plaintext: [UInt8], for device: JID, record: SignalRecord?, bundle: PreKeyBundle?, replacing: Bool) throws(SignalError) {
        let address = device.signalAddress
        var session = record?.session ?? SessionRecord()
        var newIdentity: PublicKey?
        if let bundle, session.isEmpty || replacing {
            try SessionCipher.begin(bundle, own: own, record: &session, random: random)
            newIdentity = bundle.identityKey
        }
        let padded = MessagePadding.pad(plaintext, random: random.bytes(1).first ?? 0)
        let ciphertext = try SessionCipher.encrypt(padded, own: own, record: &session)
        copies.append(Copy(device: device, ciphertext: ciphertext))
        changes.sessions[address] = .some(session)
        if let newIdentity, newIdentity != record?.identity {
            changes.identities[address] = .some(newIdentity)
            if record?.identity != nil { changedIdentities += 1 }
        }
    }
}
