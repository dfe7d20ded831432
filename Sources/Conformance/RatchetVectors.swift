import Primitives
import SignalProtocol

/// `x3dh-ratchet.json`: scripted conversations of two sides. We play both: every message must come out byte for byte, and decrypt.
///
/// After each event both records are stored and read again, and a refused event must leave the record as it was, byte for byte.
package enum RatchetVectors: VectorSuite {
    package static let fileName = "x3dh-ratchet.json"

    package static func run(_ vector: VectorCase) throws {
        var conversation = try Conversation(vector.json)
        for (index, event) in try vector.json.array("events").enumerated() {
            do {
                try conversation.play(event)
            } catch {
                throw VectorMismatch("event \(index): \(error)")
            }
        }
    }
}

/// Both sides of a conversation, and its messages by id as they were recorded.
private struct Conversation {
    private var sides: [String: Side] = [:]
    private var messages: [String: [UInt8]] = [:]

    init(_ json: JSONValue) throws {
        for name in ["alice", "bob"] { sides[name] = try Side(try json.member(name)) }
    }

    mutating func play(_ event: JSONValue) throws {
        let name = try event.string("by")
        guard var side = sides[name] else { throw VectorMismatch("nobody is called \(name)") }
        let before = side.record.serialized()
        switch try event.string("type") {
        case "session": try side.begin(event)
        case "encrypt": messages[try event.string("id")] = try side.encrypt(event, peer: sides[name == "alice" ? "bob" : "alice"])
        case "decrypt": try side.decrypt(event, bytes: event["bytes"]?.asBytes ?? messages[try event.string("id")])
        case "skip": try side.skip(event)
        case "new_keys": try side.takeKeys(event)
        case let type: throw VectorMismatch("no event is called \(type)")
        }
        if event.flag("error") { try expectEqual(side.record.serialized(), before, "record after a refusal") }
        try side.storeAndLoad()
        sides[name] = side
    }
}

/// One side: its keys and its record of the other.
private struct Side {
    private let own: SignalIdentity
    private var signedPreKeys: [UInt32: SignedPreKeyPair] = [:]
    private var preKeys: [UInt32: PreKeyPair] = [:]
    private(set) var record = SessionRecord()

    init(_ json: JSONValue) throws {
        own = SignalIdentity(
            keyPair: try PrivateKey(try json.member("identity").bytes("private")), registrationID: try json.uint32("registration_id"))
        try expectEqual(own.keyPair.publicKey.bytes, try json.member("identity").bytes("public"), "public identity key")
        try takeKeys(json)
    }

    mutating func takeKeys(_ json: JSONValue) throws {
        if let signed = json["signed_prekey"] {
            let id = try signed.uint32("id")
            let key = try PrivateKey(try signed.bytes("private"))
            if signed.has("signature"), signed.has("signature_random") {
                let signature = own.keyPair.signature(for: key.publicKey.typed, nonce: try signed.bytes("signature_random"))
                try expectEqual(signature, try signed.bytes("signature"), "signed prekey signature")
            }
            signedPreKeys = [id: SignedPreKeyPair(id: id, privateKey: key, signature: signed["signature"]?.asBytes ?? [])]
        }
        for preKey in json["one_time_prekeys"]?.asArray ?? json["one_time_prekey"].map({ [$0] }) ?? [] {
            let id = try preKey.uint32("id")
            preKeys[id] = PreKeyPair(id: id, privateKey: try PrivateKey(try preKey.bytes("private")))
        }
    }

    mutating func begin(_ event: JSONValue) throws {
        if event.flag("error") {
            let random = RecordedRandom([])
            try expectRefusal("bundle") { try SessionCipher.begin(try Self.bundle(event), own: own, record: &record, random: random) }
            return try random.expectExhausted("refused bundle")
        }
        let random = RecordedRandom([try event.member("base_key").bytes("private"), try event.member("ratchet_key").bytes("private")])
        try SessionCipher.begin(try Self.bundle(event), own: own, record: &record, random: random)
        try random.expectExhausted("session")
        try expectEqual(record.currentBaseKey, try event.member("base_key").bytes("public"), "base key")
    }

    /// Returns the recorded bytes, which are the ones that travel.
    mutating func encrypt(_ event: JSONValue, peer: Side?) throws -> [UInt8] {
        let message = try SessionCipher.encrypt(try event.bytes("plaintext"), own: own, record: &record)
        let recorded = try event.bytes("bytes")
        try expectEqual(message.kind.rawValue, try event.string("message_type"), "message type")
        guard try event.int("previous_counter") == Int(UInt32.max) else {
            try expectEqual(message.bytes, recorded, "message")
            return recorded
        }
        // The producer's counter wrapped where ours is 0: all but that field and the MAC over it must agree, and the peer must be able to read ours.
        try expectSame(message, recorded)
        if var peer, !peer.record.isEmpty || message.kind == .preKey { try peer.tryOut(message, event) }
        return recorded
    }

    private func expectSame(_ ours: Ciphertext, _ recorded: [UInt8]) throws {
        var pair = (ours.bytes, recorded)
        if ours.kind == .preKey {
            let (mine, theirs) = (try PreKeyMessageHeader.parse(ours.bytes), try PreKeyMessageHeader.parse(recorded))
            try expectEqual(mine.registrationID, theirs.registrationID, "registration id")
            try expectEqual(mine.preKeyID, theirs.preKeyID, "one-time prekey id")
            try expectEqual(mine.signedPreKeyID, theirs.signedPreKeyID, "signed prekey id")
            try expectEqual(mine.identityKey, theirs.identityKey, "identity key")
            try expectEqual(mine.baseKey, theirs.baseKey, "base key")
            pair = (mine.message, theirs.message)
        }
        let (mine, theirs) = (try SignalMessage(parsing: pair.0), try SignalMessage(parsing: pair.1))
        try expectEqual(mine.ratchetKey, theirs.ratchetKey, "ratchet key")
        try expectEqual(mine.counter, theirs.counter, "counter")
        try expectEqual(mine.ciphertext, theirs.ciphertext, "ciphertext")
        try expectEqual(mine.previousCounter, 0, "previous counter")
    }

    /// Decrypts our own form of a message on a copy that is then forgotten.
    private mutating func tryOut(_ message: Ciphertext, _ event: JSONValue) throws {
        let plaintext = try open(message.bytes, isPreKeyMessage: message.kind == .preKey, random: SystemRandom())
        try expectEqual(plaintext, try event.bytes("plaintext"), "plaintext of our own form")
    }

    mutating func decrypt(_ event: JSONValue, bytes: [UInt8]?) throws {
        guard let bytes else { throw VectorMismatch("decrypts a message that nobody wrote") }
        let random = RecordedRandom(try event["new_ratchet_key"].map { [try $0.bytes("private")] } ?? [])
        let isPreKeyMessage = try event.string("message_type") == CipherKind.preKey.rawValue
        if event.flag("error") {
            try expectRefusal("message") { _ = try open(bytes, isPreKeyMessage: isPreKeyMessage, random: random) }
        } else {
            try expectEqual(try open(bytes, isPreKeyMessage: isPreKeyMessage, random: random), try event.bytes("plaintext"), "plaintext")
        }
        try random.expectExhausted("decryption")
    }

    private mutating func open(_ bytes: [UInt8], isPreKeyMessage: Bool, random: any RandomSource) throws -> [UInt8] {
        guard isPreKeyMessage else { return try SessionCipher.decrypt(message: bytes, own: own, record: &record, random: random) }
        let decryption = try SessionCipher.decrypt(
            preKeyMessage: bytes, own: own, signedPreKeys: { signedPreKeys[$0] }, preKeys: { preKeys[$0] }, record: &record, random: random)
        if let id = decryption.consumedPreKeyID { preKeys[id] = nil }
        return decryption.plaintext
    }

    mutating func skip(_ event: JSONValue) throws {
        let plaintext = try event.bytes("plaintext")
        for _ in 0..<(try event.int("count")) { _ = try SessionCipher.encrypt(plaintext, own: own, record: &record) }
    }

    /// As if the process had been started again.
    mutating func storeAndLoad() throws {
        record = try SessionRecord(serialized: record.serialized())
    }

    private static func bundle(_ event: JSONValue) throws -> PreKeyBundle {
        let json = try event.member("bundle")
        let signed = try json.member("signed_prekey")
        return PreKeyBundle(
            registrationID: try json.uint32("registration_id"), identityKey: try PublicKey(try json.bytes("identity_key")),
            signedPreKeyID: try signed.uint32("id"), signedPreKey: try PublicKey(try signed.bytes("public")),
            signature: try signed.bytes("signature"), preKeyID: try json["one_time_prekey"]?.uint32("id"),
            preKey: try json["one_time_prekey"].map { try PublicKey(try $0.bytes("public")) })
    }
}
