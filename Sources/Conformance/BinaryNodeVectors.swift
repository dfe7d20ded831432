import Primitives
import WhatsAppWire

/// Stanzas and their encoding, both directions, and malformed input.
enum BinaryNodeVectors: VectorSuite {
    static let fileName = "binary-nodes.json"

    static func run(_ vector: VectorCase) throws {
        let json = vector.json
        switch try json.string("kind") {
        case "roundtrip":
            let node = try node(json.member("node"))
            try expectEncoding(of: node, json)
            try expectDecoding(to: node, json)
        case "encode":
            try expectEncoding(of: node(json.member("node")), json)
            try expectDecoding(to: node(json.member("decoded")), json)
        case "decode":
            try expectDecoding(to: node(json.member("node")), json)
        case "large":
            try runLarge(json)
        case "error":
            let frame = try frame(json)
            try expectRefusal("malformed stanza") { _ = try NodeCodec.decode(frame: frame) }
        case let kind:
            throw VectorMismatch("unknown kind \(kind)")
        }
    }

    /// One long binary content; the encoding is given by its beginning, length and hash.
    private static func runLarge(_ json: JSONValue) throws {
        guard let byte = try json.bytes("byte").first else { throw VectorMismatch("member byte is empty") }
        let count = try json.int("count")
        guard count >= 0 else { throw VectorMismatch("member count is negative") }
        var node = try node(json.member("node_without_content"))
        node.content = .bytes([UInt8](repeating: byte, count: count))

        let frame = try NodeCodec.encode(node)
        let body = Array(frame.dropFirst())
        try expectEqual(Array(frame.prefix(1)), try json.bytes("flag"), "flag")
        try expectEqual(Array(body.prefix(try json.bytes("prefix").count)), try json.bytes("prefix"), "prefix")
        try expectEqual(body.count, try json.int("total"), "length")
        try expectEqual(Hex.encode(Digest.sha256(body)), try json.string("sha256"), "hash")
        try expect(try NodeCodec.decode(frame: frame) == node, "decoding the encoding gives another node")
    }

    private static func expectEncoding(of node: Node, _ json: JSONValue) throws {
        try expectEqual(Hex.encode(try NodeCodec.encode(node)), Hex.encode(try frame(json)), "encoding")
    }

    private static func expectDecoding(to node: Node, _ json: JSONValue) throws {
        try expectEqual(try NodeCodec.decode(frame: frame(json)), node, "decoding")
        guard json.has("inflated") else { return }
        try expectEqual(try NodeCodec.decode(frame: [0] + json.bytes("inflated")), node, "decoding of the inflated body")
    }

    private static func frame(_ json: JSONValue) throws -> [UInt8] {
        try json.bytes("flag") + json.bytes("bytes")
    }

    // MARK: Nodes as JSON

    private static func node(_ json: JSONValue) throws -> Node {
        guard let attributes = try json.member("attrs").asObject else { throw VectorMismatch("member attrs is no object") }
        return Node(tag: try json.string("tag"), attributes: try attributes.mapValues(attributeValue), content: try content(json["content"]))
    }

    private static func attributeValue(_ json: JSONValue) throws -> AttributeValue {
        if let text = json.asString { .string(text) } else { .jid(try jid(json)) }
    }

    private static func content(_ json: JSONValue?) throws -> Node.Content {
        guard let json else { return .none }
        if let bytes = json.asBytes { return .bytes(bytes) }
        if let children = json.asArray { return .nodes(try children.map(node)) }
        if json.has("text") { return .text(try json.string("text")) }
        return .jid(try jid(json))
    }

    /// Built from its parts; its text form must be the stated one.
    private static func jid(_ json: JSONValue) throws -> JID {
        func part<Number: FixedWidthInteger>(_ key: String) throws -> Number {
            guard json.has(key) else { return 0 }
            guard let number = Number(exactly: try json.int(key)) else { throw VectorMismatch("member \(key) is out of range") }
            return number
        }
        let jid = JID(
            user: try json.string("user"), server: JID.Server(rawValue: try json.string("server")),
            device: try part("device"), agent: try part("agent"), integrator: try part("integrator"))
        try expectEqual(jid.description, try json.string("jid"), "text form of a JID")
        return jid
    }
}
