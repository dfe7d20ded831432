import WhatsAppWire

/// The hash over a list of devices.
enum ParticipantHashVectors: VectorSuite {
    static let fileName = "phash.json"

    static func run(_ vector: VectorCase) throws {
        let devices = try vector.json.array("participants").map(jid)
        try expectEqual(ParticipantHash.phash(devices), try vector.json.string("phash"), "hash")
        try expectEqual(ParticipantHash.phash(devices.reversed()), try vector.json.string("phash"), "hash in reverse order")

        let strings = devices.map(\.adString).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        try expectEqual(strings.joined(), try vector.json.string("joined"), "hashed text")
    }

    private static func jid(_ json: JSONValue) throws -> JID {
        guard let device = UInt16(exactly: try json.int("device")) else { throw VectorMismatch("member device is out of range") }
        let jid = JID(user: try json.string("user"), server: JID.Server(rawValue: try json.string("server")), device: device)
        try expectEqual(jid.description, try json.string("jid"), "text form")
        try expectEqual(JID(try json.string("jid")), jid, "reading the text form")
        return jid
    }
}
