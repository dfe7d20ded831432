import Foundation
import Primitives
import WhatsAppWire

/// Linking: the server's pair-device and 515, the phone's scan or typed code (protocol.md 6).
extension ServerState {
    private static let referenceCount = 6

    mutating func register(_ id: Int, _ keys: ClientPayload.RegistrationKeys, name: String, noiseKey: PublicKey) {
        if let failure = serverBehaviour.loginFailure {
            if let times = failure.times { serverBehaviour.loginFailure = times > 1 ? failure.with(times: times - 1) : nil }
            return close(id, behind: Node("failure", ["reason": .number(failure.reason), "location": "sim"]))
        }
        var registration = Registration(
            noiseKey: noiseKey, identityKey: keys.identity, registrationID: keys.registrationID,
            signedPreKey: LinkedDevice.SignedPreKey(id: keys.signedPreKeyID, key: keys.signedPreKey, signature: keys.signature), name: name)
        registration.references = (0..<Self.referenceCount).map { _ in "2@" + Data(random.bytes(48)).base64EncodedString() }
        for reference in registration.references { references[reference] = id }
        connections[id]?.phase = .registering(registration)
        connections[id]?.port.send(
            Node(
                "iq", ["from": .jid(.server), "type": "set", "id": .string(makeStanzaID()), "xmlns": "md"],
                children: [Node("pair-device", children: registration.references.map { Node("ref", bytes: Array($0.utf8)) })]))
        // The first code lives its time, the five others a third of it each.
        let others = configuration.qrLifetime / 3 * (Self.referenceCount - 1)
        after(configuration.qrLifetime + others, .expireCodes(connection: id))
    }

    /// Nobody scanned in time; a pairing under way goes on.
    mutating func expireCodes(_ id: Int) {
        guard let registration = registration(id), registration.pairing == nil else { return }
        close(id, behind: nil)
    }

    func registration(_ id: Int) -> Registration? {
        if case .registering(let registration)? = connections[id]?.phase { registration } else { nil }
    }

    // MARK: QR

    mutating func scan(qr: String, number: String?) throws(SimulatorError) -> PairedDevice {
        let parts = qr.suffix(from: qr.lastIndex(of: "#").map { qr.index(after: $0) } ?? qr.startIndex).split(separator: ",").map(String.init)
        guard parts.count >= 4, let id = references[parts[0]], let registration = registration(id),
            let noise = Data(base64Encoded: parts[1]), let identity = Data(base64Encoded: parts[2]), let secret = Data(base64Encoded: parts[3]),
            [UInt8](noise) == registration.noiseKey.bytes, [UInt8](identity) == registration.identityKey.bytes, secret.count == 32
        else { throw SimulatorError(.invalidCode) }
        return try pair(id, registration, account: try phone(number), secret: [UInt8](secret))
    }

    /// The account whose phone scans: of the number, or a fresh one that answers like any other.
    private mutating func phone(_ number: String?) throws(SimulatorError) -> Int {
        if let number {
            guard let digits = PhoneNumber.parse(number) else { throw SimulatorError(.invalidNumber) }
            return makeAccount(number: digits, devices: 1)
        }
        while accountsByNumber["155530\(nextFreshNumber)"] != nil { nextFreshNumber += 1 }
        return makeAccount(number: "155530\(nextFreshNumber)", devices: 1)
    }

    /// The phone signs; the client is told.
    private mutating func pair(_ id: Int, _ registration: Registration, account: Int, secret: [UInt8]) throws(SimulatorError) -> PairedDevice {
        guard accounts[account].devices.count < 100 else { throw SimulatorError(.tooManyDevices) }
        let device = accounts[account].reserveDevice()
        let record = AccountSigning.record(
            for: registration.identityKey, of: accounts[account], keyIndex: UInt32(device), now: now, random: random)
        let stanzaID = makeStanzaID()
        var registration = registration
        for reference in registration.references { references[reference] = nil }
        registration.references = []
        registration.pairing = Registration.Pairing(stanzaID: stanzaID, account: account, device: device, record: record)
        connections[id]?.phase = .registering(registration)
        let jid = accounts[account].phoneJID(device)
        let lid = accounts[account].lidJID(device)
        connections[id]?.port.send(
            Node(
                "iq", ["from": .jid(.server), "type": "set", "id": .string(stanzaID), "t": .number(now)],
                children: [
                    Node(
                        "pair-success",
                        children: [
                            Node("device-identity", bytes: AccountSigning.container(record, secret: secret)),
                            Node("device", ["jid": .jid(jid), "lid": .jid(lid)]),
                            Node("platform", ["name": "android"]),
                        ])
                ]))
        return PairedDevice(number: accounts[account].number, jid: jid.description, lid: lid.description)
    }

    // MARK: Stanzas of a client that is not linked yet

    mutating func receivedWhileRegistering(_ stanza: Node, from id: Int) {
        guard stanza.tag == "iq", let registration = registration(id), let stanzaID = stanza.string("id") else { return }
        switch stanza.string("type") {
        case "result": if stanzaID == registration.pairing?.stanzaID { finishPairing(id, registration, answer: stanza) }
        case "error": if stanzaID == registration.pairing?.stanzaID { close(id, behind: nil) }
        case "set":
            guard let request = stanza.child("link_code_companion_reg") else { return answer(stanza, to: id) }
            switch request.string("stage") {
            case "companion_hello": companionHello(id, registration, stanza, request)
            case "companion_finish": companionFinish(id, registration, stanza, request)
            default: refuse(stanza, to: id, code: 400, text: "bad-request")
            }
        default: answer(stanza, to: id)
        }
    }

    private mutating func finishPairing(_ id: Int, _ registration: Registration, answer: Node) {
        guard let pairing = registration.pairing, let signed = answer.child("pair-device-sign")?.child("device-identity")?.contentBytes else {
            return close(id, behind: nil)
        }
        do {
            let record = try AccountSigning.completed(signed, record: pairing.record, identity: registration.identityKey)
            accounts[pairing.account].insert(
                LinkedDevice(keyIndex: UInt32(pairing.device), registration: registration, record: record), as: pairing.device)
            linkedAccounts.insert(pairing.account)
            counters.pairings += 1
            announceOwnDevices(of: pairing.account, new: pairing.device)
            close(id, behind: Node("stream:error", ["code": "515"]))
        } catch {
            close(id, behind: Node("stream:error", ["code": "401"]))
        }
    }

    // MARK: Code

    private mutating func companionHello(_ id: Int, _ registration: Registration, _ stanza: Node, _ request: Node) {
        guard let jid = request.address("jid"), let number = PhoneNumber.parse(jid.user),
            let wrapped = request.child("link_code_pairing_wrapped_companion_ephemeral_pub")?.contentBytes, wrapped.count == 80,
            request.child("companion_server_auth_key_pub")?.contentBytes == registration.noiseKey.bytes,
            let display = request.child("companion_platform_display")?.contentText, display.hasSuffix(")"), display.contains(" (")
        else { return refuse(stanza, to: id, code: 400, text: "bad-request") }
        let reference = Array("3@".utf8) + Array(Data(random.bytes(24)).base64EncodedString().utf8)
        var registration = registration
        registration.codeRequest = Registration.CodeRequest(number: number, reference: reference, wrappedKey: wrapped)
        connections[id]?.phase = .registering(registration)
        answer(
            stanza, to: id, children: [Node("link_code_companion_reg", children: [Node("link_code_pairing_ref", bytes: reference)])])
    }

    mutating func enterCode(_ code: String, number: String) throws(SimulatorError) {
        let code = code.uppercased().filter { $0 != "-" && $0 != " " }
        guard let digits = PhoneNumber.parse(number) else { throw SimulatorError(.invalidNumber) }
        guard code.utf8.count == 8, let id = connections.keys.sorted(by: >).first(where: { registration($0)?.codeRequest?.number == digits }),
            var registration = registration(id), let request = registration.codeRequest
        else { throw SimulatorError(.invalidCode) }
        let account = makeAccount(number: digits, devices: 1)
        do {
            let phone = try PrimaryPairing(code: code, companion: request.wrappedKey, random: random)
            registration.codeRequest?.phone = phone
            connections[id]?.phase = .registering(registration)
            connections[id]?.port.send(
                Node(
                    "notification",
                    ["from": .jid(.server), "type": "link_code_companion_reg", "id": .string(makeStanzaID()), "t": .number(now)],
                    children: [
                        Node(
                            "link_code_companion_reg", ["stage": "primary_hello"],
                            children: [
                                Node("link_code_pairing_wrapped_primary_ephemeral_pub", bytes: phone.wrappedKey),
                                Node("primary_identity_pub", bytes: accounts[account].accountKey.publicKey.bytes),
                                Node("link_code_pairing_ref", bytes: request.reference),
                            ])
                    ]))
        } catch {
            throw SimulatorError(.invalidCode)
        }
    }

    private mutating func companionFinish(_ id: Int, _ registration: Registration, _ stanza: Node, _ request: Node) {
        guard let code = registration.codeRequest, let phone = code.phone, request.child("link_code_pairing_ref")?.contentBytes == code.reference,
            let bundle = request.child("link_code_pairing_wrapped_key_bundle")?.contentBytes,
            request.child("companion_identity_public")?.contentBytes == registration.identityKey.bytes
        else { return refuse(stanza, to: id, code: 400, text: "bad-request") }
        let account = makeAccount(number: code.number, devices: 1)
        do {
            let secret = try phone.secret(bundle: bundle, companionIdentity: registration.identityKey, account: accounts[account].accountKey)
            answer(stanza, to: id)
            _ = try pair(id, registration, account: account, secret: secret)
        } catch {
            refuse(stanza, to: id, code: 401, text: "not-authorized")
        }
    }
}

extension TrafficBehaviour.LoginFailure {
    fileprivate func with(times: Int) -> Self {
        var copy = self
        copy.times = times
        return copy
    }
}
