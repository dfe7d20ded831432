import WhatsAppWire

/// Receipts that real clients send: to each other, to simulated phones, to their own phone (protocol.md 12, 7.6).
extension ServerState {
    mutating func receipt(_ stanza: Node, from device: DeviceReference, connection: Int) {
        guard let id = stanza.string("id"), let to = stanza.address("to") else { return }
        let type = stanza.string("type")
        // A receipt also acknowledges the message it is for.
        let senderText = stanza.string("participant") ?? stanza.string("to")
        accounts[device.account].linked[device.device]?.queue.acknowledge(tag: "message", id: id, from: senderText)
        connections[connection]?.port.send(
            Node(
                "ack",
                [
                    "class": "receipt", "id": .string(id), "from": .jid(to), "type": type.map { .string($0) },
                    "participant": stanza.attributes["participant"],
                ]))
        guard let target = account(of: to) else { return }
        if target == device.account, to.device == 0 {
            accounts[device.account].linked[device.device]?.peerReceipts[type ?? "delivered", default: 0] += 1
            if type == "retry" { rewrite(id, stanza, for: device) }
            return
        }
        if type == "retry" { return retry(stanza, id: id, to: DeviceReference(account: target, device: to.device), from: device, like: to) }
        counters.receipts += 1
        // The sending device is told, whichever device of the user the receipt was addressed to.
        let origin = tracks[MessageKey(sender: target, chat: device.account, id: id)]?.origin ?? DeviceReference(account: target, device: to.device)
        forward(stanza, to: origin, from: device, like: to)
    }

    private mutating func retry(_ stanza: Node, id: String, to target: DeviceReference, from device: DeviceReference, like to: JID) {
        counters.retryRequests += 1
        if accounts[target.account].simulated[target.device] != nil {
            rewrite(id, stanza, for: device)
        } else {
            forward(stanza, to: target, from: device, like: to)
        }
    }

    private mutating func forward(_ stanza: Node, to target: DeviceReference, from device: DeviceReference, like to: JID) {
        guard accounts[target.account].linked[target.device] != nil else { return }
        var relayed = stanza
        relayed.attributes["to"] = nil
        relayed.attributes["from"] = .jid(accounts[device.account].jid(device.device, like: to))
        relayed.attributes["t"] = .number(now)
        enqueue(relayed, for: target)
    }
}
