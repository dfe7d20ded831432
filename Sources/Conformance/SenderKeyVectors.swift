import Primitives
import SignalProtocol

/// `senderkey.json`: one sender in a group and one receiver. We play both: distribution messages and messages must come out byte for byte, and decrypt.
///
/// After each event both records are stored and read again, and a refused event must leave the record as it was, byte for byte.
package enum SenderKeyVectors: VectorSuite {
    package static let fileName = "senderkey.json"

    package static func run(_ vector: VectorCase) throws {
        var group = Group()
        for (index, event) in try vector.json.array("events").enumerated() {
            do {
                try group.play(event)
            } catch {
                throw VectorMismatch("event \(index): \(error)")
            }
        }
    }
}

private struct Group {
    private var sender = SenderKeyRecord()
    private var receiver = SenderKeyRecord()
    private var messages: [String: [UInt8]] = [:]

    mutating func play(_ event: JSONValue) throws {
        switch try event.string("type") {
        case "create": messages[try event.string("id")] = try create(event)
        case "encrypt": messages[try event.string("id")] = try encrypt(event)
        case "skip": for _ in 0..<(try event.int("count")) { _ = try GroupCipher.encrypt([0], record: &sender, random: SystemRandom()) }
        case "receive_distribution": try receive(event) { bytes, receiver in try GroupCipher.process(distribution: bytes, record: &receiver) }
        case "decrypt":
            try receive(event) { bytes, receiver in
                let plaintext = try GroupCipher.decrypt(bytes, record: &receiver)
                if !event.flag("error") { try expectEqual(plaintext, try event.bytes("plaintext"), "plaintext") }
            }
        case let type: throw VectorMismatch("no event is called \(type)")
        }
        sender = try SenderKeyRecord(serialized: sender.serialized())
        receiver = try SenderKeyRecord(serialized: receiver.serialized())
    }

    /// A new key, unless the sender has it: then its distribution from where the chain is now.
    private mutating func create(_ event: JSONValue) throws -> [UInt8] {
        let id = try event.uint32("key_id")
        if sender.currentKeyID != id {
            let idBytes = stride(from: UInt32(24), through: 0, by: -8).map { UInt8(truncatingIfNeeded: id >> $0) }
            let random = RecordedRandom([idBytes, try event.bytes("chain_key"), try event.member("signing_key").bytes("private")])
            GroupCipher.rotate(record: &sender, random: random)
            try random.expectExhausted("sender key")
        }
        let unused = RecordedRandom([])
        let bytes = GroupCipher.makeDistribution(record: &sender, random: unused)
        try unused.expectExhausted("distribution")
        try expectEqual(bytes, try event.bytes("bytes"), "distribution message")
        let parsed = try SenderKeyDistribution(parsing: bytes)
        try expectEqual(parsed.iteration, try event.uint32("iteration"), "iteration")
        try expectEqual(parsed.signingKey.bytes, try event.member("signing_key").bytes("public"), "signing key")
        return bytes
    }

    private mutating func encrypt(_ event: JSONValue) throws -> [UInt8] {
        let random = RecordedRandom([try event.bytes("signature_random")])
        let bytes = try GroupCipher.encrypt(try event.bytes("plaintext"), record: &sender, random: random)
        try random.expectExhausted("group message")
        try expectEqual(bytes, try event.bytes("bytes"), "group message")
        return bytes
    }

    private mutating func receive(_ event: JSONValue, _ step: ([UInt8], inout SenderKeyRecord) throws -> Void) throws {
        guard let bytes = try event["bytes"]?.asBytes ?? messages[event.string("id")] else { throw VectorMismatch("nobody wrote this message") }
        guard event.flag("error") else { return try step(bytes, &receiver) }
        let before = receiver.serialized()
        try expectRefusal("message") { try step(bytes, &receiver) }
        try expectEqual(receiver.serialized(), before, "record after a refusal")
    }
}
