import SwiftProtobuf
import WhatsAppWire

/// Message protobufs and message padding.
package enum MessageVectors: VectorSuite {
    package static let fileName = "message-proto.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        switch try json.string("kind") {
        case "message": try message(json)
        case "pad":
            guard let random = try json.bytes("random").first else { throw VectorMismatch("no random byte") }
            let padded = MessagePadding.pad(try json.bytes("plaintext"), random: random)
            try expectEqual(padded, try json.bytes("padded"), "padded")
            try expectEqual(try MessagePadding.unpad(padded), try json.bytes("plaintext"), "unpadded again")
        case "unpad":
            let version = try json.int("v")
            let padded = try json.bytes("padded")
            guard !json.flag("error") else {
                return try expectRefusal("padding") { _ = try MessagePadding.unpad(padded, version: version) }
            }
            try expectEqual(try MessagePadding.unpad(padded, version: version), try json.bytes("plaintext"), "plaintext")
        case let kind: throw VectorMismatch("unknown kind \(kind)")
        }
    }

    private static func message(_ json: JSONValue) throws {
        let bytes = try json.bytes("bytes")
        try expectEqual(try VectorFields.serialize(try json.array("fields")), bytes, "bytes rebuilt from the fields")
        // Fields that our schema leaves out are kept here, to see that the rest of the message is untouched.
        let decoded = try WAMessage(serializedBytes: bytes)
        try expectSameMessage(try decoded.serializedBytes(), bytes, decoded)
        // The way the gateway reads: without unknown fields. What it knows is not changed by that.
        let known = try WAMessage(wire: bytes)
        try expectEqual(try WAMessage(wire: known.wireBytes), known, "message read back")
        if known.wireBytes.count == bytes.count { try expectEqual(known.wireBytes, bytes, "bytes encoded by the generated type") }
    }

    /// Unknown fields are written last, so the order may differ where there are some; the content may not.
    private static func expectSameMessage(_ ours: [UInt8], _ theirs: [UInt8], _ decoded: WAMessage) throws {
        guard ours != theirs else { return }
        try expectEqual(ours.count, theirs.count, "length encoded by the generated type")
        try expect(!decoded.unknownFields.data.isEmpty || ours.sorted() == theirs.sorted(), "bytes encoded by the generated type differ")
        try expectEqual(try WAMessage(serializedBytes: ours), decoded, "message read back")
    }
}
