import Primitives
import SignalProtocol
import WhatsAppWire

/// What the server keeps of a device's prekeys, and hands out (protocol.md 9.4, 9.5).
extension ServerState {
    private static let lowPreKeys = 5

    mutating func preKeyRequest(_ stanza: Node, from device: DeviceReference, connection: Int) {
        guard let linked = accounts[device.account].linked[device.device] else { return }
        if stanza.child("count") != nil {
            return answer(stanza, to: connection, children: [Node("count", ["value": .number(linked.preKeyCount)])])
        }
        if let request = stanza.child("key") {
            let users = request.children("user").prefix(2000).compactMap { $0.address("jid") }
            return answer(stanza, to: connection, children: [Node("list", children: users.map { bundle(of: $0) })])
        }
        if stanza.child("digest") != nil {
            let digest: [Node] = [
                Node("registration", bytes: linked.registrationID.bytes(4)), Node("type", bytes: [PublicKey.typeByte]),
                Node("identity", bytes: linked.identityKey.bytes),
            ]
            return answer(stanza, to: connection, children: [Node("digest", children: digest)])
        }
        if let rotation = stanza.child("rotate")?.child("skey") {
            guard let key = signedPreKey(rotation, of: linked) else { return refuse(stanza, to: connection, code: 400, text: "bad-request") }
            accounts[device.account].linked[device.device]?.signedPreKey = key
            return answer(stanza, to: connection)
        }
        upload(stanza, from: device, linked, connection: connection)
    }

    private mutating func upload(_ stanza: Node, from device: DeviceReference, _ linked: LinkedDevice, connection: Int) {
        let nodes = stanza.child("list")?.children("key") ?? []
        var keys: [(id: UInt32, key: PublicKey)] = []
        for node in nodes {
            guard let id = UInt32(bytes: node.child("id")?.contentBytes, count: 3), let key = PublicKey(content: node.child("value")) else { break }
            keys.append((id, key))
        }
        guard keys.count == nodes.count, stanza.child("identity")?.contentBytes == linked.identityKey.bytes,
            let registrationID = UInt32(bytes: stanza.child("registration")?.contentBytes, count: 4),
            let signed = stanza.child("skey"), let signedKey = signedPreKey(signed, of: linked)
        else { return refuse(stanza, to: connection, code: 406, text: "not-acceptable") }
        counters.preKeyUploads += 1
        accounts[device.account].linked[device.device]?.registrationID = registrationID
        accounts[device.account].linked[device.device]?.signedPreKey = signedKey
        accounts[device.account].linked[device.device]?.store(keys)
        answer(stanza, to: connection)
    }

    private func signedPreKey(_ node: Node, of linked: LinkedDevice) -> LinkedDevice.SignedPreKey? {
        guard let id = UInt32(bytes: node.child("id")?.contentBytes, count: 3), let key = PublicKey(content: node.child("value")),
            let signature = node.child("signature")?.contentBytes, linked.identityKey.isValidSignature(signature, for: key.typed)
        else { return nil }
        return LinkedDevice.SignedPreKey(id: id, key: key, signature: signature)
    }

    /// The `<user>` of a bundle answer. Takes a one-time prekey of the device away.
    private mutating func bundle(of jid: JID) -> Node {
        guard let account = makeAccount(of: jid), let bundle = takeBundle(of: DeviceReference(account: account, device: jid.device)) else {
            return Node("user", ["jid": .jid(jid)], children: [Node("error", ["code": "404", "text": "item-not-found"])])
        }
        return Node("user", ["jid": .jid(jid)], children: Self.nodes(of: bundle))
    }

    mutating func takeBundle(of device: DeviceReference) -> PreKeyBundle? {
        let behaviour = accounts[device.account].behaviour
        let random = random
        if var bundle = accounts[device.account].simulated[device.device]?.bundle(withOneTimePreKey: !behaviour.lacksOneTimePreKeys, random: random) {
            if behaviour.hasInvalidSignature, let first = bundle.signature.first { bundle.signature[0] = first ^ 1 }
            return bundle
        }
        guard let bundle = accounts[device.account].linked[device.device]?.bundle() else { return nil }
        if bundle.preKeyID != nil, let left = accounts[device.account].linked[device.device]?.preKeyCount, left == Self.lowPreKeys - 1 {
            let count = Node("count", ["value": .number(left)])
            enqueue(
                Node(
                    "notification", ["from": .jid(.server), "type": "encrypt", "id": .string(makeStanzaID()), "t": .number(now)],
                    children: [count]), for: device)
        }
        return bundle
    }

    /// As in a bundle answer, and inside the `<keys>` of a retry receipt but for the registration id.
    static func nodes(of bundle: PreKeyBundle) -> [Node] {
        [Node("registration", bytes: bundle.registrationID.bytes(4))] + keyNodes(of: bundle)
    }

    static func keyNodes(of bundle: PreKeyBundle) -> [Node] {
        var nodes: [Node] = [
            Node("type", bytes: [PublicKey.typeByte]), Node("identity", bytes: bundle.identityKey.bytes),
            Node(
                "skey",
                children: [
                    Node("id", bytes: bundle.signedPreKeyID.bytes(3)), Node("value", bytes: bundle.signedPreKey.bytes),
                    Node("signature", bytes: bundle.signature),
                ]),
        ]
        if let id = bundle.preKeyID, let key = bundle.preKey {
            nodes.insert(Node("key", children: [Node("id", bytes: id.bytes(3)), Node("value", bytes: key.bytes)]), at: 2)
        }
        return nodes
    }

    /// Reads the `<keys>` of a retry receipt.
    static func bundle(registration: Node?, keys: Node) -> PreKeyBundle? {
        guard let registrationID = UInt32(bytes: registration?.contentBytes, count: 4), let identity = PublicKey(content: keys.child("identity")),
            let signed = keys.child("skey"), let signedID = UInt32(bytes: signed.child("id")?.contentBytes, count: 3),
            let signedKey = PublicKey(content: signed.child("value")), let signature = signed.child("signature")?.contentBytes
        else { return nil }
        let oneTime = keys.child("key")
        return PreKeyBundle(
            registrationID: registrationID, identityKey: identity, signedPreKeyID: signedID, signedPreKey: signedKey, signature: signature,
            preKeyID: UInt32(bytes: oneTime?.child("id")?.contentBytes, count: 3), preKey: PublicKey(content: oneTime?.child("value")))
    }
}

extension UInt32 {
    /// The low bytes, big endian.
    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: self >> (8 * (count - 1 - $0))) } }

    /// nil unless there are exactly so many bytes.
    init?(bytes: [UInt8]?, count: Int) {
        guard let bytes, bytes.count == count else { return nil }
        self = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

extension PublicKey {
    /// The 32 bytes inside a node.
    init?(content node: Node?) {
        guard let bytes = node?.contentBytes else { return nil }
        do { try self.init(bytes) } catch { return nil }
    }
}
