import Primitives
import WhatsAppWire

/// Registration and login payloads: ours byte for byte, and what a server reads from theirs.
package enum ClientPayloadVectors: VectorSuite {
    package static let fileName = "clientpayload.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let bytes = try json.bytes("bytes")
        try expectEqual(try VectorFields.serialize(try json.array("fields")), bytes, "bytes rebuilt from the fields")
        let decoded = try WAClientPayload(wire: bytes)
        try expectEqual(decoded.wireBytes, bytes, "bytes encoded by the generated type")
        guard let version = ClientVersion(try json.string("version")) else { throw VectorMismatch("version") }
        let greeting = try ClientPayload.parse(bytes)
        try expectEqual(greeting.version, version, "version that a server reads")
        var profile = DeviceProfile(name: try json.string("os"), systemVersion: decoded.userAgent.osVersion)
        let device = try json.member("device")
        switch try json.string("mode") {
        case "registration":
            try expectEqual(
                try VectorFields.serialize(try json.array("device_props_fields")), [UInt8](decoded.devicePairingData.deviceProps),
                "device properties rebuilt from the fields")
            let properties = try WADeviceProps(wire: [UInt8](decoded.devicePairingData.deviceProps))
            let claimed = properties.version
            profile.version = ClientVersion(claimed.primary, claimed.secondary, claimed.tertiary)
            profile.platform = properties.platformType
            profile.history = properties.historySyncConfig
            let keys = try registrationKeys(device)
            try expectEqual(ClientPayload.registration(keys, version: version, profile: profile), bytes, "our registration")
            try expectEqual(greeting.kind, .registration(keys, name: profile.name), "what a server reads")
            try expect(!greeting.isPassive, "registration is passive")
        case "login":
            guard let jid = JID(try device.string("jid")) else { throw VectorMismatch("own address") }
            let name = decoded.hasPushName ? decoded.pushName : nil
            let ours = try ClientPayload.login(
                jid, version: version, profile: profile, pushName: name, isPassive: decoded.passive, reason: decoded.connectReason,
                attempt: decoded.hasConnectAttemptCount ? decoded.connectAttemptCount : nil)
            try expectEqual(ours, bytes, "our login")
            try expectEqual(greeting.kind, .login(jid), "what a server reads")
            try expectEqual(greeting.isPassive, decoded.passive, "passive")
        case let mode: throw VectorMismatch("unknown mode \(mode)")
        }
    }

    private static func registrationKeys(_ device: JSONValue) throws -> ClientPayload.RegistrationKeys {
        let signed = try device.member("signed_prekey")
        return ClientPayload.RegistrationKeys(
            registrationID: try device.uint32("registration_id"), identity: try device.privateKey("identity_key").publicKey,
            signedPreKeyID: try signed.uint32("id"), signedPreKey: try device.privateKey("signed_prekey").publicKey,
            signature: try signed.bytes("signature"))
    }
}
