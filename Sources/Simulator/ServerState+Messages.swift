import SignalProtocol
import WhatsAppWire

/// The relay: a message stanza's ciphertexts to the devices they are for, and the ack (protocol.md 10.6, 10.8, 12.4).
extension ServerState {
    /// One ciphertext on its way.
    struct Copy: Sendable {
        let sender: DeviceReference
        let device: DeviceReference
        let chat: Int
        let id: String
        let enc: Node
        /// The stanza it came in.
        let stanza: Node
        let to: JID
        var isOwnCopy: Bool { sender.account == device.account && chat != device.account }
    }

    mutating func message(_ stanza: Node, from sender: DeviceReference, connection: Int) {
        counters.messages += 1
        let isLost = changeBehaviour(ofSender: sender.account) { behaviour in
            guard behaviour.lostMessages > 0 else { return false }
            behaviour.lostMessages -= 1
            return true
        }
        guard !isLost, let id = stanza.string("id"), let to = stanza.address("to") else { return }
        guard let chat = makeAccount(of: to), accounts[chat].behaviour.isOnWhatsApp else {
            return acknowledge(stanza, id, to, error: to.server == .lid ? 479 : 400, sender, connection)
        }
        let fanout = stanza.child("participants")?.children("to")
        // A retry, or a message between the devices of one user: for one device, outside the counting of duplicates.
        guard let fanout else {
            acknowledge(stanza, id, to, error: nil, sender, connection)
            let key = MessageKey(sender: sender.account, chat: chat, id: id)
            guard let enc = stanza.child("enc") else { return }
            let device = DeviceReference(account: chat, device: to.device)
            deliver(Copy(sender: sender, device: device, chat: retryChat(stanza, chat, sender), id: id, enc: enc, stanza: stanza, to: to), key: key)
            return
        }
        relay(stanza, fanout, id: id, to: to, chat: chat, from: sender, connection: connection)
    }

    /// The chat that a retry for an own device belongs to: `recipient` names it.
    private func retryChat(_ stanza: Node, _ chat: Int, _ sender: DeviceReference) -> Int {
        guard chat == sender.account, let recipient = stanza.address("recipient"), let account = account(of: recipient) else { return chat }
        return account
    }

    private mutating func relay(
        _ stanza: Node, _ fanout: [Node], id: String, to: JID, chat: Int, from sender: DeviceReference, connection: Int
    ) {
        let key = MessageKey(sender: sender.account, chat: chat, id: id)
        var track = tracks[key] ?? MessageTrack(origin: sender)
        if tracks[key] == nil { remember(key) }
        if let code = refusal(of: sender.account, chat: chat, &track) {
            tracks[key] = track
            counters.refused += 1
            return acknowledge(stanza, id, to, error: code, sender, connection)
        }
        let mode = behaviour(ofSender: sender.account).duplicates ?? configuration.duplicates
        let isDuplicate = track.isAccepted
        if isDuplicate { counters.duplicateStanzas += 1 }
        if isDuplicate, mode == .refuse {
            tracks[key] = track
            return acknowledge(stanza, id, to, error: 409, sender, connection)
        }
        track.isAccepted = true
        track.origin = sender
        var copies: [Copy] = []
        copies.reserveCapacity(fanout.count)
        for node in fanout {
            guard let jid = node.address("jid"), let enc = node.child("enc"), let account = account(of: jid) else { continue }
            let device = DeviceReference(account: account, device: jid.device)
            guard account == chat || account == sender.account, device != sender else { continue }
            if isDuplicate, mode == .deduplicate, track.delivered.contains(device) { continue }
            track.delivered.insert(device)
            copies.append(Copy(sender: sender, device: device, chat: chat, id: id, enc: enc, stanza: stanza, to: to))
        }
        let losesAck = track.lostAcks < accounts[chat].behaviour.lostAcks
        if losesAck { track.lostAcks += 1 }
        tracks[key] = track
        let phash = ParticipantHash.phash(knownDevices(chat: chat, sender: sender, like: to))
        if copies.count < expectedCopies(chat: chat, sender: sender), !isDuplicate { counters.staleDeviceLists += 1 }
        if losesAck {
            counters.lostAcks += 1
        } else {
            acknowledge(stanza, id, to, error: nil, phash: phash, sender, connection)
        }
        for copy in copies { deliver(copy, key: key) }
    }

    /// The code of the refusal that is due, from the recipient first, then from the sender's own script.
    private mutating func refusal(of sender: Int, chat: Int, _ track: inout MessageTrack) -> Int? {
        if let refusal = accounts[chat].behaviour.refusal, refusal.times.map({ track.refusals < $0 }) ?? true {
            track.refusals += 1
            return refusal.code
        }
        return changeBehaviour(ofSender: sender) { behaviour in
            guard let refusal = behaviour.refusal else { return nil }
            if let times = refusal.times { behaviour.refusal = times > 1 ? Refusal(code: refusal.code, times: times - 1) : nil }
            return refusal.code
        }
    }

    private mutating func remember(_ key: MessageKey) {
        trackOrder.append(key)
        guard trackOrder.count > configuration.historyLimit + configuration.historyLimit / 4 else { return }
        let surplus = trackOrder.count - configuration.historyLimit
        for old in trackOrder.prefix(surplus) { tracks[old] = nil }
        trackOrder.removeFirst(surplus)
    }

    /// All devices of both users, the sending one included, in the chat's form: what the hash covers.
    private func knownDevices(chat: Int, sender: DeviceReference, like to: JID) -> [JID] {
        var devices = accounts[chat].devices.map { accounts[chat].jid($0, like: to) }
        if chat != sender.account { devices += accounts[sender.account].devices.map { accounts[sender.account].jid($0, like: to) } }
        return devices
    }

    private func expectedCopies(chat: Int, sender: DeviceReference) -> Int {
        accounts[chat].devices.count + (chat == sender.account ? 0 : accounts[sender.account].devices.count) - 1
    }

    private mutating func acknowledge(
        _ stanza: Node, _ id: String, _ to: JID, error: Int?, phash: String? = nil, _ sender: DeviceReference, _ connection: Int
    ) {
        let ack = Node(
            "ack",
            [
                "class": "message", "id": .string(id), "from": .jid(to), "t": .number(now), "error": error.map { .number($0) },
                "phash": phash.map { .string($0) },
            ])
        let (isLost, isRepeated, delay) = changeBehaviour(ofSender: sender.account) { behaviour in
            let isLost = behaviour.lostAcks > 0
            if isLost { behaviour.lostAcks -= 1 }
            let isRepeated = behaviour.repeatedAcks > 0
            if isRepeated { behaviour.repeatedAcks -= 1 }
            return (isLost, isRepeated, behaviour.ackDelay)
        }
        if isLost { counters.lostAcks += 1 }
        for _ in 0..<(isLost ? 0 : isRepeated ? 2 : 1) {
            if delay == .zero { connections[connection]?.port.send(ack) } else { after(delay, .send(ack, connection: connection)) }
        }
    }

    // MARK: Delivery

    private mutating func deliver(_ copy: Copy, key: MessageKey) {
        if accounts[copy.device.account].simulated[copy.device.device] != nil {
            counters.copies += 1
            deliverToSimulated(copy, key: key)
        } else if accounts[copy.device.account].linked[copy.device.device] != nil {
            counters.copies += 1
            deliverToLinked(copy)
        }
    }

    /// A real client gets the stanza as the server writes it for one device.
    private mutating func deliverToLinked(_ copy: Copy) {
        record(copy) { $0.copies += 1 }
        let sender = accounts[copy.sender.account]
        let underLID = copy.to.server == .lid
        var attributes: [String: AttributeValue] = [
            "from": .jid(sender.jid(copy.sender.device, like: copy.to)), "id": .string(copy.id), "t": .number(now),
            "type": copy.stanza.attributes["type"] ?? "text",
        ]
        for name in ["edit", "category"] { attributes[name] = copy.stanza.attributes[name] }
        if copy.device.account == copy.sender.account {
            attributes["recipient"] = .jid(copy.stanza.address("recipient")?.bare ?? accounts[copy.chat].jid(0, like: copy.to))
            if underLID { attributes["peer_recipient_pn"] = .jid(accounts[copy.chat].phoneJID()) }
        } else if underLID {
            attributes["sender_pn"] = .jid(sender.phoneJID(copy.sender.device))
        } else {
            attributes["sender_lid"] = .jid(sender.lidJID(copy.sender.device))
        }
        var children = [copy.enc]
        if copy.enc.string("type") == CipherKind.preKey.rawValue, let identity = copy.stanza.child("device-identity") { children.append(identity) }
        children += copy.stanza.children.filter { $0.tag == "meta" }
        enqueue(Node(tag: "message", attributes: attributes, content: .nodes(children)), for: copy.device)
    }

    /// The entry of a copy in what was received.
    @discardableResult
    mutating func record<Result>(_ copy: Copy, _ change: (inout ReceivedMessage) -> Result) -> Result {
        let sender = accounts[copy.sender.account].number
        let number = accounts[copy.device.account].number
        let lid = accounts[copy.device.account].lid
        return history.update(
            sender: copy.sender, id: copy.id, device: copy.device,
            make: { sequence in
                ReceivedMessage(
                    sequence: sequence, id: copy.id, sender: sender, senderDevice: Int(copy.sender.device), number: number,
                    device: JID.lid(lid, device: copy.device.device).description, isOwnCopy: copy.isOwnCopy, text: nil, copies: 0, shown: 0,
                    duplicates: 0, decryptFailures: 0, retryRequests: 0)
            }, change: change)
    }
}
