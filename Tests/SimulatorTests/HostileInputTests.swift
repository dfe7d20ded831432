import Foundation
import Primitives
import Simulator
import Testing
import WhatsAppWire

@Suite(.timeLimit(.minutes(10))) struct HostileInputTests {
    @Test func `frames may be split and joined anyhow`() async throws {
        try await withSimulator { simulator in
            let client = try await simulator.logIn(number: "15550101111")
            let ping = Node("iq", ["to": .jid(.server), "type": "get", "xmlns": "w:p", "id": "a"])
            let both = try client.seal(ping) + client.seal(ping)
            try await client.sendRaw(Array(both[..<2]), fin: false)
            try await client.sendRaw(Array(both[2..<40]), opcode: .continuation)
            try await client.sendRaw(Array(both[40...]))
            _ = try await client.next("iq") { $0.string("id") == "a" }
            _ = try await client.next("iq") { $0.string("id") == "a" }
        }
    }

    @Test func `mutated bytes end their own connection at most`() async throws {
        try await withSimulator { simulator in
            var seed: UInt64 = 42
            func draw(_ bound: Int) -> Int {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int(seed >> 33) % bound
            }
            let victim = try await simulator.logIn(number: "15550101111")
            for round in 0..<60 {
                let client = try await RawClient.open(port: simulator.port)
                var initiator = NoiseInitiator(
                    staticKey: client.keys.noise, ephemeral: PrivateKey(random: client.random), rootKey: simulator.rootKey)
                var bytes = Frame.intro + Frame.encode(initiator.hello())
                bytes[draw(bytes.count)] ^= UInt8(1 << draw(8))
                if round % 3 == 0 { bytes = Array(bytes.prefix(draw(bytes.count))) }
                try await client.sendRaw(bytes)
                try? await client.close()
            }
            // Stanzas that are well sealed and make no sense.
            let template = try await stanzas(victim, simulator)
            for _ in 0..<300 { try await victim.send(mutate(template[draw(template.count)], draw)) }
            _ = try await victim.request("get", "w:p", [Node("ping")])
            #expect(simulator.counters.stanzas > 200)
        }
    }

    private func stanzas(_ client: RawClient, _ simulator: WhatsAppSimulator) async throws -> [Node] {
        let (chat, devices) = try await simulator.target("15550107777", of: client)
        return [
            try client.message("m", id: "M", to: chat, devices: devices),
            Node("receipt", ["id": "M", "to": .jid(chat), "type": "retry"], children: [Node("retry", ["count": "1"]), Node("keys", children: [])]),
            Node("iq", ["to": .jid(.server), "type": "set", "xmlns": "encrypt", "id": "e"], children: [Node("list"), Node("skey")]),
            Node("iq", ["to": .jid(.server), "type": "get", "xmlns": "usync", "id": "u"], children: [Node("usync", children: [Node("list")])]),
            Node("ack", ["class": "message", "id": "M", "to": .jid(chat)]),
        ]
    }

    private func mutate(_ node: Node, _ draw: (Int) -> Int) -> Node {
        var node = node
        switch draw(6) {
        case 0: if let key = node.attributes.keys.sorted().randomElementBy(draw) { node.attributes[key] = nil }
        case 1: if let key = node.attributes.keys.sorted().randomElementBy(draw) { node.attributes[key] = "99999999999999999999@x" }
        case 2: node.content = .none
        case 3: node.content = .bytes([UInt8](repeating: 0xFF, count: draw(40)))
        default: break
        }
        if case .nodes(var children) = node.content, !children.isEmpty {
            let index = draw(children.count)
            children[index] = mutate(children[index], draw)
            node.content = .nodes(children)
        } else if case .bytes(var bytes) = node.content, !bytes.isEmpty {
            bytes[draw(bytes.count)] ^= UInt8(1 << draw(8))
            node.content = .bytes(bytes)
        }
        return node
    }
}

extension Array {
    fileprivate func randomElementBy(_ draw: (Int) -> Int) -> Element? { isEmpty ? nil : self[draw(count)] }
}
