import SignalProtocol
import WhatsAppWire

/// Messages that the own phone sends to its companion (protocol.md 7.6). They are decrypted to be answered; nothing of their content is kept.
extension WhatsAppClient {
    func take(peerMessage node: Node) async {
        guard let credentials, let from = node.jid("from"), let id = node.string("id") else { return acknowledge(node) }
        // The phone may write under its number; its session is stored under the LID (protocol.md 4.4).
        let phone = credentials.lid.bare.withDevice(from.device)
        guard phone != credentials.lid else { return acknowledge(node) }
        do {
            var holdsHistory = false
            for enc in node.children("enc") {
                let content = try await decrypt(enc, from: phone.signalAddress, credentials)
                if content.protocolMessage.hasType, content.protocolMessage.type == .historySyncNotification { holdsHistory = true }
            }
            answer(peerMessage: node, id: id, holdsHistory: holdsHistory, own: credentials)
        } catch let error as SignalError {
            logger.warning("peer message could not be decrypted", metadata: ["error.code": "\(error.code.rawValue)"])
            // A repeated message was answered before its acknowledgement got lost.
            guard error.code != .duplicateMessage else { return answer(peerMessage: node, id: id, holdsHistory: false, own: credentials) }
            acknowledge(node)
            await requestRetry(of: node, id: id, own: credentials)
        } catch is WireError {
            logger.warning("peer message could not be read")
            acknowledge(node)
        } catch {
            // Not stored, so not acknowledged: the server sends it again.
            logger.warning("peer message could not be recorded")
        }
    }

    /// The advanced ratchet is durable when this returns.
    private func decrypt(_ enc: Node, from address: SignalAddress, _ credentials: DeviceCredentials) async throws -> WAMessage {
        guard let bytes = enc.contentBytes, let kind = enc.string("type").flatMap(CipherKind.init) else { throw SignalError(.malformedMessage) }
        let padded = try await withSettledSignals {
            let record = try await store.signalRecords(for: [address])[address]
            var session = record?.session ?? SessionRecord()
            var changes = DeviceChanges()
            let padded: [UInt8]
            switch kind {
            case .message: padded = try SessionCipher.decrypt(message: bytes, own: credentials.identity, record: &session, random: random)
            case .preKey:
                let header = try PreKeyMessageHeader.parse(bytes)
                // The phone's identity is the account key that signed this device (protocol.md 6.2); nobody else may speak for it.
                if address.device == 0, header.identityKey != credentials.accountKey { throw SignalError(.identityMismatch) }
                var keys: [PreKeyPair] = []
                if let id = header.preKeyID { keys = try await store.preKeys([id]) }
                let signed = credentials.signedPreKey
                let decrypted = try SessionCipher.decrypt(
                    preKeyMessage: bytes, own: credentials.identity, signedPreKeys: { $0 == signed.id ? signed : nil },
                    preKeys: { id in keys.first { $0.id == id } }, record: &session, random: random)
                padded = decrypted.plaintext
                if let consumed = decrypted.consumedPreKeyID { changes.removedPreKeys = [consumed] }
                if decrypted.identityKey != record?.identity { changes.identities[address] = .some(decrypted.identityKey) }
            }
            changes.sessions[address] = .some(session)
            try await store.commit(changes)
            return padded
        }
        let plaintext = try MessagePadding.unpad(padded, version: enc.smallNumber("v") ?? 2)
        return try WAMessage(wire: plaintext)
    }

    private func answer(peerMessage node: Node, id: String, holdsHistory: Bool, own: DeviceCredentials) {
        let type = node.string("type") == "peer_msg" ? "peer_msg" : "sender"
        write(
            Node("receipt", ["id": .string(id), "to": node.attributes["from"], "type": .string(type), "recipient": node.attributes["recipient"]]))
        let phone = AttributeValue.jid(own.jid.bare)
        if holdsHistory { write(Node("receipt", ["id": .string(id), "type": "hist_sync", "to": phone])) }
        write(Node("receipt", ["id": .string(id), "type": "peer_msg", "to": phone]))
    }

    /// Asks the phone for an undecryptable message again, with keys from the second time on, at most four times per message (protocol.md 12.5).
    private func requestRetry(of node: Node, id: String, own: DeviceCredentials) async {
        if peerFailures.count >= 256 { peerFailures.removeAll() }
        let count = (peerFailures[id] ?? 0) + 1
        guard count <= 4 else { return }
        peerFailures[id] = count
        var children = [
            Node("retry", ["count": .number(count), "id": .string(id), "t": node.attributes["t"], "v": "1"]),
            Node("registration", bytes: Self.fourBytes(own.identity.registrationID)),
        ]
        if count >= 2 {
            do {
                children.append(try await retryKeys(own))
            } catch {
                return logger.warning("keys for a retry could not be stored")
            }
        }
        write(
            Node(
                "receipt",
                [
                    "id": .string(id), "to": node.attributes["from"], "type": "retry", "category": "peer", "recipient": node.attributes["recipient"],
                    "participant": node.attributes["participant"],
                ], children: children))
    }

    private func retryKeys(_ own: DeviceCredentials) async throws -> Node {
        guard let key = try await newPreKeys(1, uploaded: true).first else { throw SignalError(.unknownPreKey) }
        let signed = own.signedPreKey
        return Node(
            "keys",
            children: [
                Node("type", bytes: [5]), Node("identity", bytes: own.identity.keyPair.publicKey.bytes),
                Node("key", children: [Node("id", bytes: Self.threeBytes(key.id)), Node("value", bytes: key.publicKey.bytes)]),
                Node(
                    "skey",
                    children: [
                        Node("id", bytes: Self.threeBytes(signed.id)), Node("value", bytes: signed.publicKey.bytes),
                        Node("signature", bytes: signed.signature),
                    ]), Node("device-identity", bytes: own.accountRecord),
            ])
    }
}
