import WhatsAppWire

/// Message ids: how one is made, and what one looks like.
enum MessageIDVectors: VectorSuite {
    static let fileName = "message-id.json"

    static func run(_ vector: VectorCase) throws {
        let json = vector.json
        switch try json.string("kind") {
        case "generate":
            let id = MessageID.make(
                unixSeconds: Int64(try json.int("timestamp")), ownNumber: json["user"]?.asString, random: try json.bytes("random"))
            try expectEqual(id, try json.string("id"), "id")
            try expect(MessageID.isWellFormed(id), "an id we made is not well-formed")
        case "format":
            try expectEqual(MessageID.isWellFormed(try json.string("id")), json.flag("valid"), "well-formed")
        case let kind:
            throw VectorMismatch("unknown kind \(kind)")
        }
    }
}
