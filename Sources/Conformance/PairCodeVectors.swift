import Primitives
import WhatsAppWire

/// Linking by pairing code, both sides.
package enum PairCodeVectors: VectorSuite {
    package static let fileName = "paircode.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let device = try json.member("companion")
        let identity = try device.privateKey("identity_key")
        guard let client = CompanionPairing.ClientType(rawValue: try json.string("companion_platform_id")) else {
            throw VectorMismatch("client type")
        }
        let request = PairCodeCompanion.Request(
            number: try json.string("phone_number"), noiseKey: try device.privateKey("noise_key").publicKey, identity: identity, client: client,
            display: try json.string("companion_platform_display"), showsPushNotification: json.flag("show_push_notification"))
        let draws = RecordedRandom([
            try json.member("companion_ephemeral").bytes("private"), try json.bytes("salt"), try json.bytes("iv"), try json.bytes("code_random"),
        ])
        var companion = try PairCodeCompanion(request, random: draws)
        try draws.expectExhausted("hello")
        try expectEqual(companion.code.text, try json.string("code"), "code")
        try expectEqual(companion.code.displayText, try json.string("display_code"), "code as shown")
        try expectEqual(try companion.code.key(salt: try json.bytes("salt")), try json.bytes("code_key"), "code key")
        let hello = companion.hello(id: try json.string("request_id"))
        try expectEqual(try NodeCodec.encode(hello), try json.bytes("hello_frame"), "hello")
        try companion.received(helloAnswer: try NodeCodec.decode(frame: try json.bytes("hello_answer_frame")))

        let notification = try NodeCodec.decode(frame: try json.bytes("notification_frame"))
        guard json.flag("ok") else {
            return try expectRefusal("notification") { _ = try companion.finish(notification, id: "1", random: SystemRandom()) }
        }
        let finishDraws = RecordedRandom([try json.bytes("adv_random"), try json.bytes("bundle_salt"), try json.bytes("bundle_nonce")])
        let (finish, advSecret) = try companion.finish(notification, id: try json.string("finish_request_id"), random: finishDraws)
        try finishDraws.expectExhausted("finish")
        try expectEqual(try NodeCodec.encode(finish), try json.bytes("finish_frame"), "finish")
        try expectEqual(advSecret, try json.bytes("adv_secret"), "adv secret")
        try phone(json, hello, finish, identity.publicKey)
    }

    /// The phone of the case, played by us.
    private static func phone(_ json: JSONValue, _ hello: Node, _ finish: Node, _ companion: PublicKey) throws {
        guard let code = PairCode(try json.string("display_code").lowercased()) else { throw VectorMismatch("typed code") }
        let draws = RecordedRandom([
            try json.member("phone_ephemeral").bytes("private"), try json.bytes("phone_salt"), try json.bytes("phone_iv"),
        ])
        let phone = try PairCodePhone(
            hello: hello, reference: try json.bytes("ref"), code: code, identity: try json.privateKey("phone_identity"), random: draws)
        try draws.expectExhausted("phone")
        let ours = phone.notification(id: "1", time: 0).child("link_code_companion_reg")
        let theirs = try NodeCodec.decode(frame: try json.bytes("notification_frame")).child("link_code_companion_reg")
        for tag in ["link_code_pairing_ref", "link_code_pairing_wrapped_primary_ephemeral_pub", "primary_identity_pub"] {
            try expectEqual(ours?.child(tag)?.contentBytes, theirs?.child(tag)?.contentBytes, "notification's \(tag)")
        }
        let (identity, advSecret) = try phone.received(finish: finish)
        try expectEqual(identity, companion, "companion that the phone sees")
        try expectEqual(advSecret, try json.bytes("adv_secret"), "adv secret of the phone")
    }
}
