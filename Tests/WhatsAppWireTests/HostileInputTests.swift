import Primitives
import Testing

@testable import WhatsAppWire

/// What a peer may send: an error or a node each time, never a trap.
@Suite struct HostileInputTests {
    /// A stanza with every kind of value in it.
    static let rich = Node(
        "message",
        [
            "id": "3EB0A1B2C3D4E5F60718", "to": .jid(.lid("123456789012345")), "participant": .jid(.phone("15551234567", device: 3)),
            "t": "1700000000",
            "notify": "Bob", "fb": .jid(JID(user: "1", server: .messenger, device: 300)),
            "interop": .jid(JID(user: "1-2", server: .interop, device: 1, integrator: 1)), "from": .jid(.server), "type": "retry",
        ],
        children: [
            Node("enc", ["v": "2", "type": "pkmsg"], bytes: [UInt8](0...255)),
            Node("participants", children: [Node("to", text: "ABC"), Node("to", text: "1-2.")]),
        ])

    @Test func `every truncation of a stanza is an error`() throws {
        for node in [Self.rich] + NodeCodecTests.appendix.map(\.node) {
            // given
            let frame = try NodeCodec.encode(node)

            for length in 0..<frame.count {
                // when, then
                #expect { try NodeCodec.decode(frame: Array(frame[..<length])) } throws: { ($0 as? WireError)?.code == .malformed }
            }
        }
    }

    @Test func `bytes behind the stanza are an error`() throws {
        // given
        let frame = try NodeCodec.encode(Self.rich) + [0]

        // when, then
        #expect(throws: WireError(.malformed, "bytes left over")) { try NodeCodec.decode(frame: frame) }
    }

    @Test func `ten thousand mutations give an error or a node that survives the round trip`() throws {
        // given
        var generator = SplitMix(seed: 42)
        let valid = try ([Self.rich] + NodeCodecTests.appendix.map(\.node)).map { try NodeCodec.encode($0) }
        var decoded = 0

        for _ in 0..<10_000 {
            // when
            var frame = valid[Int.random(in: 0..<valid.count, using: &generator)]
            for _ in 0..<Int.random(in: 1...4, using: &generator) { frame.mutate(using: &generator) }

            // then
            guard let node = Self.decoded(frame) else { continue }
            decoded += 1
            // A mutation may make a JID that only a peer would write, or an empty attribute; what we can write must come back.
            guard let again = try? NodeCodec.encode(node) else { continue }
            #expect(try NodeCodec.decode(frame: again).tag == node.tag)
        }
        #expect(decoded > 100)
    }

    @Test func `random bytes give an error or a node`() {
        // given
        var generator = SplitMix(seed: 7)

        for _ in 0..<10_000 {
            // when
            let count = Int.random(in: 0...40, using: &generator)
            let frame = [UInt8.random(in: 0...3, using: &generator), 0xF8] + (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }

            // then: no trap
            _ = Self.decoded(frame)
        }
    }

    @Test func `nesting is allowed to the limit and not beyond`() throws {
        // given: each level is <iq>[one child]
        let level: [UInt8] = [0xF8, 2, 25, 0xF8, 1]
        let leaf: [UInt8] = [0xF8, 1, 25]
        func nested(_ depth: Int) -> [UInt8] { [0] + [[UInt8]](repeating: level, count: depth - 1).joined() + leaf }

        // when, then
        #expect(try NodeCodec.decode(frame: nested(32)).tag == "iq")
        #expect(throws: WireError(.limitExceeded, "too many nodes")) { try NodeCodec.decode(frame: nested(33)) }
        #expect(throws: WireError(.limitExceeded, "too many nodes")) { try NodeCodec.decode(frame: nested(100_000)) }
    }

    @Test func `more nodes than the limit are refused`() {
        // given: 60,000 children, three bytes each
        let frame: [UInt8] = [0, 0xF8, 2, 25, 0xF9, 0xEA, 0x60] + [[UInt8]](repeating: [0xF8, 1, 25], count: 60_000).joined()

        // when, then
        #expect(throws: WireError(.limitExceeded, "too many nodes")) { try NodeCodec.decode(frame: frame) }
    }

    @Test(arguments: [
        "00f8031908fc01ff": "invalid UTF-8", "00f8051908ff01120808": "duplicate key",
        "00f8031908f801f80119": "list as value", "00f803f801190808": "list as key", "00f803fa00030808": "JID as key",
        "00f8031911fa0300": "null server",
        "00f8031911fa03fc00": "empty server", "00f8031911f70001fc00": "empty user", "00f8031908fb8112": "odd hex without padding",
        "00f8031908ff8112": "odd digits without padding", "00f8031908ff02f112": "padding inside", "00f8031908ff821c1f": "digit 12",
        "00f8021dfeffffffff": "length of 4 GiB", "00f9ffff19": "list of 65535",
    ])
    func `broken values are refused`(_ hex: String, _ what: String) throws {
        // given
        let frame = Hex.decode(hex) ?? []

        // when, then
        #expect(throws: WireError.self, "\(what)") { try NodeCodec.decode(frame: frame) }
    }

    static func decoded(_ frame: [UInt8]) -> Node? {
        do throws(WireError) { return try NodeCodec.decode(frame: frame) } catch { return nil }
    }
}
