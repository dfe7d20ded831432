import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct PairingTests {
    private let advSecret = [UInt8](repeating: 0xAD, count: 32)
    private let details = PhonePairing.DeviceDetails(rawID: 77, timestamp: 1_700_000_000, keyIndex: 3)

    private func stanza(container: [UInt8]?, jid: JID? = .phone("15551234567", device: 3), id: String? = "9") -> Node {
        var children = [
            Node("device", ["jid": jid.map { .jid($0) }, "lid": .jid(.lid("100000000000001", device: 3))]), Node("platform", ["name": "android"]),
        ]
        if let container { children.append(Node("device-identity", bytes: container)) }
        return Node(
            "iq", ["from": .jid(.server), "type": "set", "id": id.map { .string($0) }, "t": "1700000001"],
            children: [Node("pair-success", children: children)])
    }

    private func container(_ details: PhonePairing.DeviceDetails? = nil) throws -> [UInt8] {
        PhonePairing.container(
            for: try key(2).publicKey, advSecret: advSecret, details: details ?? self.details, account: try key(4), random: ConstantRandom())
    }

    private func accept(_ stanza: Node, expectedNumber: String? = nil) throws -> CompanionPairing.Outcome {
        try CompanionPairing.accept(
            stanza, identity: try key(2), advSecret: advSecret, expectedNumber: expectedNumber, random: ConstantRandom(byte: 1))
    }

    private func refusal(_ stanza: Node, expectedNumber: String? = nil) throws -> CompanionPairing.Refusal? {
        guard case .refused(let refusal, let reply) = try accept(stanza, expectedNumber: expectedNumber) else { return nil }
        #expect(reply.string("type") == "error")
        #expect(reply.child("error")?.string("code") == String(refusal.code))
        return refusal
    }

    @Test(arguments: [nil, WAADVEncryptionType.e2Ee, .hosted], [nil, WAADVEncryptionType.e2Ee, .hosted])
    func `phone and companion accept each other`(container type: WAADVEncryptionType?, device: WAADVEncryptionType?) throws {
        // given
        var details = details
        details.containerType = type
        details.accountType = type
        details.deviceType = device
        // when
        let outcome = try accept(stanza(container: try container(details)), expectedNumber: "15551234567")
        // then
        guard case .accepted(let account, let reply) = outcome else {
            Issue.record("refused")
            return
        }
        let record = try PhonePairing.verify(answer: reply, device: try key(2).publicKey, details: details, account: try key(4).publicKey)
        #expect(account.accountRecord == record)
        #expect(try account.accountKey == key(4).publicKey)
        #expect(account.jid == .phone("15551234567", device: 3))
        #expect(account.phoneAddressName == "100000000000001_1")
        #expect(account.platform == "android")
        #expect(account.serverTime == 1_700_000_001)
        #expect(account.keyIndex == 3)
    }

    @Test func `what cannot be trusted is refused with the code that the server expects`() throws {
        let good = try container()
        #expect(try refusal(stanza(container: good)) == nil)
        #expect(try refusal(stanza(container: nil)) == .malformed)
        #expect(try refusal(stanza(container: [0xFF])) == .malformed)
        #expect(try refusal(stanza(container: [])) == .hmacMismatch)
        #expect(try refusal(stanza(container: good, jid: nil)) == .malformed)
        #expect(try refusal(stanza(container: good, jid: .phone("15551234567"))) == .malformed)
        #expect(try refusal(stanza(container: good), expectedNumber: "15550000000") == .otherNumber)
        let forOther = PhonePairing.container(
            for: try key(8).publicKey, advSecret: advSecret, details: details, account: try key(4), random: ConstantRandom())
        #expect(try refusal(stanza(container: forOther)) == .signatureMismatch)
        #expect(throws: WireError(.malformed, "stanza without id")) { try accept(stanza(container: good, id: nil)) }
    }

    @Test func `a damaged container is refused or says the same`() throws {
        // given
        let good = try container()
        guard case .accepted(let expected, _) = try accept(stanza(container: good)) else { throw WireError(.pairing) }
        var accepted = 0
        // then
        try forEachDamaged(good) { bytes in
            if case .accepted(let account, _) = try accept(stanza(container: bytes)) {
                accepted += 1
                #expect(account == expected)
            }
        }
        #expect(accepted < 1000)
    }

    @Test func `a QR text holds what is scanned, also when its reference has commas`() throws {
        // given
        let reference = "2@abc,1,x"
        // when
        let text = try CompanionPairing.qrText(
            reference: Array(reference.utf8), noiseKey: try key(1).publicKey, identityKey: try key(2).publicKey, advSecret: advSecret, client: .chrome
        )
        let scanned = try PhonePairing.scan(text)
        // then
        #expect(text.hasPrefix("https://wa.me/settings/linked_devices#2@abc,1,x,"))
        #expect(scanned.reference == Array(reference.utf8))
        #expect(try scanned.noiseKey == key(1).publicKey)
        #expect(try scanned.identityKey == key(2).publicKey)
        #expect(scanned.advSecret == advSecret)
        #expect(scanned.client == "1")
        for end in text.indices { #expect(throws: WireError.self) { try PhonePairing.scan(String(text[..<end].dropLast())) } }
        #expect(throws: WireError.self) { try CompanionPairing.references(of: Node("iq")) }
    }

    @Test func `the phone refuses an answer that differs from what it signed`() throws {
        guard case .accepted(_, let reply) = try accept(stanza(container: try container())) else { throw WireError(.pairing) }
        func verify(_ answer: Node, _ details: PhonePairing.DeviceDetails, account: UInt8 = 4, device: UInt8 = 2) throws {
            _ = try PhonePairing.verify(answer: answer, device: try key(device).publicKey, details: details, account: try key(account).publicKey)
        }
        var other = details
        other.rawID += 1
        try verify(reply, details)
        #expect(throws: WireError(.pairing, "answer differs")) { try verify(reply, other) }
        #expect(throws: WireError(.pairing, "account signature")) { try verify(reply, details, account: 5) }
        #expect(throws: WireError(.pairing, "account signature")) { try verify(reply, details, device: 5) }
        #expect(throws: WireError(.pairing, "answer is incomplete")) { try verify(Node("iq"), details) }
    }
}
