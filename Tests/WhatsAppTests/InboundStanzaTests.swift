import Foundation
import Primitives
import SignalProtocol
import Testing
import WhatsAppWire

@testable import WhatsApp

@Suite struct InboundStanzaTests {
    private let own: DeviceCredentials
    private let recipient = JID.lid("200", device: 12)

    init() throws {
        let key = PrivateKey(random: SystemRandom())
        own = DeviceCredentials(
            noiseKey: key, identity: SignalIdentity(keyPair: key, registrationID: 7),
            signedPreKey: SignedPreKeyPair.make(id: 1, identity: key, random: SystemRandom()), jid: .phone("15550100999", device: 3),
            lid: .lid("100", device: 3), accountRecord: [1, 2, 3], accountKey: key.publicKey, platform: "android")
    }

    @Test func `stanzas are told apart`() {
        let phone = AttributeValue.jid(.phone("15550100999"))
        #expect(InboundStanza(Node("message", ["category": "peer", "from": phone]), own: own) == .peerMessage)
        #expect(InboundStanza(Node("message", ["from": phone]), own: own) == .drop)
        #expect(InboundStanza(Node("message", ["category": "peer", "from": .jid(recipient)]), own: own) == .drop)
        #expect(InboundStanza(Node("call", ["from": phone]), own: own) == .drop)
        #expect(InboundStanza(Node("presence", ["from": phone]), own: own) == .ignore)
        #expect(InboundStanza(Node("notification", ["type": "w:gp2"]), own: own) == .drop)
        #expect(InboundStanza(Node("notification", ["type": "devices"]), own: own) == .notification)
        #expect(InboundStanza(Node("notification", ["type": "passkey_prologue_request"]), own: nil) == .passkeyRequest)
        #expect(InboundStanza(Node("success"), own: nil) == .ignore)
        #expect(InboundStanza(Node("iq", ["type": "get", "xmlns": "urn:xmpp:ping"]), own: own) == .ping)
        #expect(InboundStanza(Node("iq", ["type": "result", "id": "7"]), own: own) == .answer(id: "7"))
        #expect(InboundStanza(Node("ack", ["class": "message", "id": "A"]), own: own) == .messageAck(id: "A"))
        #expect(InboundStanza(Node("ack", ["class": "message"]), own: own) == .ignore)
        #expect(InboundStanza(Node("xmlstreamend"), own: own) == .end(.closed))
        #expect(InboundStanza(Node("never heard of"), own: own) == .ignore)
    }

    @Test func `an ack copies what names the stanza and leaves out a message's type`() throws {
        let receipt = Node(
            "receipt", ["id": "A", "from": .jid(recipient), "participant": .jid(recipient), "recipient": .jid(recipient), "type": "read", "t": "5"])
        #expect(
            InboundStanza.ack(for: receipt)
                == Node(
                    "ack",
                    [
                        "class": "receipt", "id": "A", "to": .jid(recipient), "participant": .jid(recipient), "recipient": .jid(recipient),
                        "type": "read",
                    ]))
        #expect(
            InboundStanza.ack(for: Node("message", ["id": "A", "from": .jid(recipient), "type": "text"]))
                == Node("ack", ["class": "message", "id": "A", "to": .jid(recipient)]))
        #expect(InboundStanza.ack(for: Node("message", ["id": "A"])) == nil)
    }

    @Test(
        arguments: [
            (nil, Receipt.Kind.delivered), ("inactive", .delivered), ("read", .read), ("played", .played), ("server-error", .serverError),
            ("sender", .ownDevice),
            ("read-self", .ownDevice), ("hist_sync", .ownDevice), ("something new", .other),
        ] as [(String?, Receipt.Kind)])
    func `receipt types`(type: String?, kind: Receipt.Kind) throws {
        let node = Node("receipt", ["id": "A", "from": .jid(recipient), "type": type.map { .string($0) }, "t": "1800000000"])
        let receipt = try #require(Receipt(node, own: own))
        #expect(receipt == Receipt(messageIDs: ["A"], kind: kind, device: recipient, time: Date(timeIntervalSince1970: 1_800_000_000)))
    }

    @Test func `an own read says nothing about the recipient, and lists are taken whole`() throws {
        let node = Node(
            "receipt", ["id": "A", "from": .jid(.lid("100")), "type": "read", "recipient": .jid(recipient), "offline": "1", "t": "0"],
            children: [Node("list", children: [Node("item", ["id": "B"]), Node("item"), Node("item", ["id": "C"])])])
        let receipt = try #require(Receipt(node, own: own))
        #expect(receipt == Receipt(messageIDs: ["A", "B", "C"], kind: .ownDevice, device: .lid("100"), time: nil, isOffline: true))
        #expect(Receipt(Node("receipt", ["from": .jid(recipient)]), own: own) == nil)
        #expect(Receipt(Node("receipt", ["id": "A"]), own: own) == nil)
    }

    @Test func `a retry receipt with damaged keys is answered without them`() throws {
        let node = Node(
            "receipt", ["id": "A", "from": .jid(recipient), "type": "retry"],
            children: [
                Node("retry", ["count": "2", "id": "A", "t": "5", "v": "1", "error": "7"]), Node("registration", bytes: [0, 0, 1, 2]),
                Node("keys", children: [Node("identity", bytes: [1, 2, 3])]),
            ])
        let receipt = try #require(Receipt(node, own: own))
        #expect(receipt.kind == .retry(count: 2))
        let request = try #require(RetryRequest(node, count: 2, device: receipt.device))
        #expect(request.bundle == nil)
        #expect(request.registrationID == 258)
        #expect(request.error == 7)
        #expect(request.calls(forNewSessionInsteadOf: nil))
    }

    @Test func `device lists skip companions without a key index`() {
        let list = Node(
            "device-list",
            children: [
                Node("device", ["id": "0"]), Node("device", ["id": "5", "key-index": "1"]), Node("device", ["id": "6"]),
                Node("device", ["id": "99", "key-index": "2", "is_hosted": "true"]), Node("device", ["id": "70000", "key-index": "3"]),
                Node("device"),
                Node("device", ["id": "5", "key-index": "1"]),
            ])
        #expect(
            WhatsAppClient.devices(in: list, of: .lid("200")) == [
                .lid("200"), .lid("200", device: 5), JID(user: "200", server: .hostedLID, device: 99),
            ])
    }

    @Test func `credentials survive being stored and print nothing`() throws {
        let again = try DeviceCredentials(serialized: try own.serialized())
        #expect(again.jid == own.jid)
        #expect(again.lid == own.lid)
        #expect(again.noiseKey.copyBytes() == own.noiseKey.copyBytes())
        #expect(again.signedPreKey.signature == own.signedPreKey.signature)
        #expect("\(again)" == "DeviceCredentials(redacted)")
        #expect(throws: (any Error).self) { try DeviceCredentials(serialized: Array("{}".utf8)) }
    }
}
