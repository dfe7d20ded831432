import Primitives
import Testing

@testable import WhatsAppWire

@Suite struct NodeCodecTests {
    /// Appendix C.1 of the protocol text. Its bytes have the attributes in the order of the text; ours are sorted, so both directions go by node.
    static let appendix: [(hex: String, node: Node)] = [
        (
            "00f80a1908ff831b2a3f1657042911fa0003f801f80156",
            Node("iq", ["id": "1.2-3", "xmlns": "w:p", "type": "get", "to": .jid(.server)], children: [Node("ping")])
        ),
        (
            "00f8070711f70107ff88123456789012345f08fb0a3eb0a1b2c3d4e5f6071804ec0b",
            Node("receipt", ["to": .jid(.lid("123456789012345", device: 7)), "id": "3EB0A1B2C3D4E5F60718", "type": "retry"])
        ),
        (
            "00f8071b151308fb85abcdef012f11faff8615551234567f03",
            Node("ack", ["class": "message", "id": "ABCDEF012", "to": .jid(.phone("15551234567"))])
        ),
    ]

    @Test(arguments: appendix.indices) func `the stanzas of appendix C are read as stated, and written in as many bytes`(_ index: Int) throws {
        // given
        let (hex, node) = Self.appendix[index]
        let bytes = try #require(Hex.decode(hex))

        // when
        let decoded = try NodeCodec.decode(frame: bytes)
        let encoded = try NodeCodec.encode(node)

        // then
        #expect(decoded == node)
        #expect(encoded.count == bytes.count)
        #expect(try NodeCodec.decode(frame: encoded) == node)
    }

    @Test func `attributes are written in the byte order of their keys`() throws {
        // given: the first stanza of appendix C.1, its attributes sorted by hand
        let node = Self.appendix[0].node

        // when
        let encoded = try NodeCodec.encode(node)

        // then
        #expect(Hex.encode(encoded) == "00f80a1908ff831b2a3f11fa000304291657f801f80156")
    }

    @Test(arguments: [
        ("get", "29"), ("0", "2d"), ("retry", "ec0b"), ("15-2.", "ff8315a2bf"), ("ABC", "fb82abcf"), ("12", "cf"), ("1234", "ff021234"),
        ("hello", "fc0568656c6c6f"),
        ("", "ff00"), ("3EB0", "fb023eb0"), ("\u{212A}", "fc03e284aa"),
    ])
    func `a string takes its shortest form`(_ text: String, _ hex: String) throws {
        // given
        let node = Node("iq", text: text)

        // when
        let encoded = try NodeCodec.encode(node)

        // then
        #expect(Hex.encode(encoded) == "00f80219" + hex)
        #expect(try NodeCodec.decode(frame: encoded).contentText == text)
    }

    @Test func `every token is found by its text and read by its number`() throws {
        // given
        let tokens = TokenDictionary.strings

        // when
        let found = tokens.map { token in Array(token.utf8).withUnsafeBufferPointer { TokenDictionary.index(of: $0) } }

        // then
        #expect(tokens.count == 236 + 4 * 256)
        #expect(found.first == .some(nil))
        #expect(found.dropFirst().elementsEqual((1..<tokens.count).map { $0 }))
        #expect(TokenDictionary.version == Frame.intro.last)
    }

    @Test func `an empty attribute is left out and nil is never put in`() throws {
        // given
        let node = Node("iq", ["id": "5", "type": "", "to": nil])

        // when
        let decoded = try NodeCodec.decode(frame: NodeCodec.encode(node))

        // then
        #expect(decoded == Node("iq", ["id": "5"]))
        #expect(node.attributes["to"] == nil)
    }

    @Test(arguments: [0, 255, 256, 0xF_FFFF, 0x10_0000]) func `binary content of any length survives`(_ count: Int) throws {
        // given
        let node = Node("enc", ["v": "2"], bytes: [UInt8](repeating: 7, count: count))

        // when
        let encoded = try NodeCodec.encode(node)

        // then
        #expect(try NodeCodec.decode(frame: encoded) == node)
    }

    @Test func `random trees survive the round trip`() throws {
        // given
        var trees = RandomTrees(seed: 1)

        for _ in 0..<2_000 {
            // when
            let tree = trees.node(depth: 5)
            let survives = try NodeCodec.decode(frame: NodeCodec.encode(tree)) == tree

            // then
            #expect(survives)
        }
    }

    @Test func `a stanza that nobody would accept is not written`() {
        // given
        let deep = (0..<32).reduce(Node("leaf")) { node, _ in Node("a", children: [node]) }
        let long = Node("a", children: [Node](repeating: Node("b"), count: 65_536))
        let heavy = Node("a", bytes: [UInt8](repeating: 0, count: Frame.maximumPayload))

        // when, then
        #expect(throws: WireError(.limitExceeded, "too many nodes")) { try NodeCodec.encode(deep) }
        #expect(throws: WireError(.limitExceeded, "list too long")) { try NodeCodec.encode(long) }
        #expect(throws: WireError(.limitExceeded, "stanza too long")) { try NodeCodec.encode(heavy) }
        #expect(throws: WireError(.malformed, "empty tag")) { try NodeCodec.encode(Node("")) }
    }

    @Test(arguments: [
        JID(user: "1", server: .phone, device: 256), JID(user: "", server: .lid, device: 1), JID(user: "", server: .hosted),
        JID(user: "", server: .messenger), JID(user: "", server: .interop), JID(user: "1", server: JID.Server(rawValue: "")),
    ])
    func `a JID without a form on the wire is refused`(_ jid: JID) {
        // given
        let node = Node("iq", ["to": .jid(jid)])

        // when, then
        #expect { try NodeCodec.encode(node) } throws: { ($0 as? WireError)?.code == .malformed }
    }

    @Test func `content is read as bytes or text in whichever form it came`() {
        // given
        let asText = Node("a", text: "12")
        let asBytes = Node("a", bytes: [0x31, 0x32])
        let notText = Node("a", bytes: [0xFF])
        let parent = Node("a", ["n": "12", "m": "+1", "jid": .jid(.lid("7"))], children: [asText, Node("b")])

        // when, then
        #expect(asText.contentBytes == asBytes.contentBytes)
        #expect(asText.contentText == asBytes.contentText)
        #expect(notText.contentText == nil)
        #expect(parent.contentBytes == nil)
        #expect(parent.child("a") == asText)
        #expect(parent.children("b") == [Node("b")])
        #expect(parent.uint("n") == 12)
        #expect(parent.uint("m") == nil)
        #expect(parent.jid("jid") == .lid("7"))
        #expect(parent.jid("n") == nil)
        #expect(parent.string("jid") == "7@lid")
    }
}
