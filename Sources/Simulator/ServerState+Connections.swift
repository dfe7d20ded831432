import Primitives
import WhatsAppWire

/// From the end of the handshake to the close (protocol.md 5, 7.1, 8).
extension ServerState {
    /// A client finished its handshake. Its payload decides what it is.
    mutating func connected(port: ConnectionPort, clientKey: PublicKey, payload: [UInt8]) -> Int {
        let id = nextConnection
        nextConnection += 1
        defer { changed() }
        counters.connections += 1
        connections[id] = Connection(port: port, phase: .closing)
        do {
            switch try ClientPayload.parse(payload).kind {
            case .registration(let keys, let name): register(id, keys, name: name, noiseKey: clientKey)
            case .login(let jid): logIn(id, jid, noiseKey: clientKey)
            }
        } catch {
            fail(id, TrafficBehaviour.LoginFailure(reason: 400))
        }
        return id
    }

    mutating func disconnected(_ id: Int) {
        guard let connection = connections.removeValue(forKey: id) else { return }
        defer { changed() }
        switch connection.phase {
        case .registering(let registration): for reference in registration.references { references[reference] = nil }
        case .loggedIn(let device): detach(device, from: id)
        case .closing: break
        }
    }

    private mutating func detach(_ device: DeviceReference, from id: Int) {
        guard accounts[device.account].linked[device.device]?.connection == id else { return }
        accounts[device.account].linked[device.device]?.connection = nil
        accounts[device.account].linked[device.device]?.isActive = false
    }

    private mutating func logIn(_ id: Int, _ jid: JID, noiseKey: PublicKey) {
        guard let account = account(of: jid), let linked = accounts[account].linked[jid.device],
            constantTimeEqual(linked.noiseKey.bytes, noiseKey.bytes)
        else {
            return fail(id, TrafficBehaviour.LoginFailure(reason: 401))
        }
        if let failure = takeLoginFailure(of: account) { return fail(id, failure) }
        if let other = linked.connection { closeAsReplaced(other) }
        let device = DeviceReference(account: account, device: jid.device)
        connections[id]?.phase = .loggedIn(device)
        accounts[account].linked[jid.device]?.connection = id
        accounts[account].linked[jid.device]?.isActive = false
        counters.logins += 1
        connections[id]?.port.send(
            Node(
                "success",
                [
                    "t": .number(now), "lid": .jid(accounts[account].lidJID(jid.device)), "props": "30", "location": "sim", "status": "active",
                    "creation": .number(now),
                ]))
    }

    private mutating func takeLoginFailure(of account: Int) -> TrafficBehaviour.LoginFailure? {
        changeBehaviour(ofSender: account) { behaviour in
            guard let failure = behaviour.loginFailure else { return nil }
            if let times = failure.times { behaviour.loginFailure?.times = times - 1 }
            if behaviour.loginFailure?.times == 0 { behaviour.loginFailure = nil }
            return failure
        }
    }

    private mutating func fail(_ id: Int, _ failure: TrafficBehaviour.LoginFailure) {
        counters.refusedLogins += 1
        close(
            id,
            behind: Node(
                "failure",
                [
                    "reason": .number(failure.reason), "location": "sim", "code": failure.code.map { .number($0) },
                    "expire": failure.expire.map { .number($0) },
                ]))
    }

    // MARK: Closing

    /// The connection takes nothing more; its client gets `stanza` last.
    mutating func close(_ id: Int, behind stanza: Node?) {
        guard let connection = connections[id] else { return }
        if case .loggedIn(let device) = connection.phase { detach(device, from: id) }
        if case .registering(let registration) = connection.phase { for reference in registration.references { references[reference] = nil } }
        connections[id]?.phase = .closing
        if let stanza { connection.port.send(stanza) }
        if stanza?.tag == "stream:error" { connection.port.send(Node("xmlstreamend")) }
        connection.port.close(lingers: stanza != nil)
    }

    mutating func closeAsReplaced(_ id: Int) {
        close(id, behind: Node("stream:error", children: [Node("conflict", ["type": "replaced"])]))
    }

    /// The phone took the device off its list (protocol.md 15).
    mutating func unlink(_ device: DeviceReference) {
        guard let linked = accounts[device.account].removeLinked(device.device) else { return }
        if accounts[device.account].linked.isEmpty { linkedAccounts.remove(device.account) }
        defer { changed() }
        announceOwnDevices(of: device.account)
        guard let connection = linked.connection else { return }
        // The device is gone, so nothing is left to detach.
        close(connection, behind: Node("stream:error", ["code": "401"], children: [Node("conflict", ["type": "device_removed"])]))
    }

    // MARK: Stanzas

    /// One stanza of a client; whatever it is, it is answered or dropped.
    mutating func received(_ stanza: Node, from id: Int) {
        counters.stanzas += 1
        defer { changed() }
        switch connections[id]?.phase {
        case .registering: receivedWhileRegistering(stanza, from: id)
        case .loggedIn(let device): received(stanza, from: device, connection: id)
        case .closing, nil: break
        }
    }

    private mutating func received(_ stanza: Node, from device: DeviceReference, connection: Int) {
        switch stanza.tag {
        case "iq": request(stanza, from: device, connection: connection)
        case "message": message(stanza, from: device, connection: connection)
        case "receipt": receipt(stanza, from: device, connection: connection)
        case "ack":
            guard let id = stanza.string("id") else { return }
            accounts[device.account].linked[device.device]?.queue.acknowledge(tag: stanza.string("class") ?? "", id: id, from: stanza.string("to"))
        case "presence", "chatstate", "ib", "call": break
        case "xmlstreamend": close(connection, behind: nil)
        default: counters.unknownStanzas += 1
        }
    }
}
