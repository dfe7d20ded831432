import Primitives
import WhatsAppWire

/// Linking by QR code, both sides.
package enum PairingVectors: VectorSuite {
    package static let fileName = "adv-pairing.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let companion = try json.member("companion")
        let identity = try companion.privateKey("identity_key")
        let advSecret = try companion.bytes("adv_secret")
        try codes(json, companion, identity.publicKey, advSecret)

        let success = try NodeCodec.decode(frame: try json.bytes("pair_success_frame"))
        let draws = json.has("device_signature_random") ? [try json.bytes("device_signature_random")] : []
        let random = RecordedRandom(draws)
        let outcome = try CompanionPairing.accept(success, identity: identity, advSecret: advSecret, random: random)
        switch outcome {
        case .refused(let refusal, let reply):
            try expect(!json.flag("ok"), "a good pairing was refused: \(refusal)")
            try expectEqual(String(refusal.code), try json.string("error_code"), "error code")
            try expectEqual(refusal.text, try json.string("error_text"), "error text")
            try expectEqual(try NodeCodec.encode(reply), try json.bytes("response_frame"), "error answer")
        case .accepted(let account, let reply):
            try expect(json.flag("ok"), "a bad pairing was accepted")
            try expectEqual(try NodeCodec.encode(reply), try json.bytes("response_frame"), "answer")
            try expectEqual(account.accountRecord, try json.bytes("stored_account"), "stored account")
            try expectEqual(account.jid.description, try json.string("jid"), "number address")
            try expectEqual(account.lid.description, try json.string("lid"), "LID address")
            try expectEqual(account.accountKey, try json.privateKey("phone_identity").publicKey, "account key")
            try random.expectExhausted("device signature")
            try phone(json, reply, identity.publicKey, advSecret)
        }
    }

    private static func codes(_ json: JSONValue, _ companion: JSONValue, _ identity: PublicKey, _ advSecret: [UInt8]) throws {
        let stanza = try NodeCodec.decode(frame: try json.bytes("pair_device_frame"))
        try expectEqual(
            try NodeCodec.encode(try CompanionPairing.acknowledgement(of: stanza)), try json.bytes("pair_device_answer_frame"), "answer to the refs")
        let references = try CompanionPairing.references(of: stanza)
        let expected = try json.array("qr").compactMap(\.asString)
        try expectEqual(references.count, expected.count, "number of codes")
        let noiseKey = try companion.privateKey("noise_key").publicKey
        for (reference, text) in zip(references, expected) {
            guard let client = CompanionPairing.ClientType(rawValue: String(text.suffix(1))) else { throw VectorMismatch("client type") }
            let ours = try CompanionPairing.qrText(
                reference: reference, noiseKey: noiseKey, identityKey: identity, advSecret: advSecret, client: client)
            try expectEqual(ours, text, "QR text")
            let scanned = PhonePairing.ScannedCode(
                reference: reference, noiseKey: noiseKey, identityKey: identity, advSecret: advSecret, client: client.rawValue)
            try expect(try PhonePairing.scan(text) == scanned, "scanned QR text differs")
        }
    }

    /// Makes the same container as the phone did, and lets the phone judge the answer.
    private static func phone(_ json: JSONValue, _ reply: Node, _ device: PublicKey, _ advSecret: [UInt8]) throws {
        let account = try json.privateKey("phone_identity")
        let inner = try json.member("inner")
        let details = PhonePairing.DeviceDetails(
            rawID: try inner.uint32("raw_id"), timestamp: UInt64(try inner.int("timestamp")), keyIndex: try inner.uint32("key_index"),
            accountType: type(inner["account_type"]), deviceType: type(inner["device_type"]), containerType: type(json["container_account_type"]))
        try expectEqual(details.wireBytes, try json.bytes("inner_details"), "inner details")
        let container = PhonePairing.container(
            for: device, advSecret: advSecret, details: details, account: account,
            random: RecordedRandom([try json.bytes("account_signature_random")]))
        try expectEqual(container, try json.bytes("container"), "container made again")
        let record = try PhonePairing.verify(answer: reply, device: device, details: details, account: account.publicKey)
        try expectEqual(record, try json.bytes("stored_account"), "account record that the phone sees")
    }

    private static func type(_ json: JSONValue?) -> WAADVEncryptionType? {
        switch json {
        case .string("HOSTED"), .integer(1): .hosted
        case .string("E2EE"), .integer(0): .e2Ee
        default: nil
        }
    }
}
