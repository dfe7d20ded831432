import Primitives
import WhatsAppWire

/// Handshakes from both sides, state by state, and the first frames after them.
package enum NoiseVectors: VectorSuite {
    package static let fileName = "noise.json"

    package static func run(_ vector: VectorCase) throws {
        let json = vector.json
        let root = try PublicKey(try json.bytes("root_public_key"))
        let now = Int64(try json.int("now"))
        let messages = try json.member("messages")
        var initiator = NoiseInitiator(
            staticKey: try json.privateKey("client_static"), ephemeral: try json.privateKey("client_ephemeral"), rootKey: root)
        try expectEqual(try json.bytes("prologue"), Frame.intro, "intro")
        try expectEqual(initiator.hello(), try messages.bytes("client_hello"), "client hello")
        let serverHello = try messages.bytes("server_hello")
        guard !json.flag("error") else {
            return try expectRefusal("server hello") { _ = try initiator.finish(serverHello: serverHello, clientPayload: [1], now: now) }
        }

        let payload = try json.bytes("client_payload")
        let (finish, client) = try initiator.finish(serverHello: serverHello, clientPayload: payload, now: now)
        try expectEqual(finish, try messages.bytes("client_finish"), "client finish")
        let frames = try json.member("frames")
        try expectEqual(Frame.intro + Frame.encode(try messages.bytes("client_hello")), try frames.bytes("first"), "first frame")
        try expectEqual(Frame.encode(finish), try frames.bytes("client_finish"), "last frame")

        var responder = NoiseResponder(
            staticKey: try json.privateKey("server_static"), ephemeral: try json.privateKey("server_ephemeral"),
            certificate: try json.bytes("certificate_chain"))
        try expectEqual(try responder.received(clientHello: try messages.bytes("client_hello")), serverHello, "server hello")
        let received = try responder.received(clientFinish: finish)
        try expectEqual(received.payload, payload, "payload that the server reads")
        try expectEqual(received.clientStatic, try json.privateKey("client_static").publicKey, "client key that the server reads")

        let state = try replay(try json.array("steps"), protocolName: try json.bytes("protocol_name"))
        let keys = try state.transportKeys()
        try expectEqual(keys.first, try json.bytes("client_to_server_key"), "client to server key")
        try expectEqual(keys.second, try json.bytes("server_to_client_key"), "server to client key")
        let transport = try json.member("transport")
        try exchange(try transport.array("client_to_server"), from: client, to: received.channel)
        try exchange(try transport.array("server_to_client"), from: received.channel, to: client)
    }

    private static func replay(_ steps: [JSONValue], protocolName: [UInt8]) throws -> NoiseState {
        try expectEqual(NoiseState.protocolName, protocolName, "protocol name")
        var state = NoiseState()
        for (index, step) in steps.enumerated() {
            let operation = try step.string("op")
            switch operation {
            case "start": break
            case "mix_hash": state.mixHash(try step.bytes("input"))
            case "mix_key": try state.mixKey(try step.bytes("input"))
            case "encrypt": try expectEqual(try state.encrypt(try step.bytes("input")), try step.bytes("output"), "step \(index), output")
            case "decrypt": try expectEqual(try state.decrypt(try step.bytes("input")), try step.bytes("output"), "step \(index), output")
            default: throw VectorMismatch("unknown step \(operation)")
            }
            try expectEqual(state.hash, try step.bytes("hash"), "step \(index), hash")
            try expectEqual(state.salt, try step.bytes("salt"), "step \(index), salt")
            try expectEqual(state.key, try step.bytes("key"), "step \(index), key")
            try expectEqual(state.counter, try step.uint32("counter"), "step \(index), counter")
        }
        return state
    }

    private static func exchange(_ frames: [JSONValue], from sender: WireChannel, to receiver: WireChannel) throws {
        var sender = sender
        var receiver = receiver
        for frame in frames {
            let sealed = try sender.seal(try frame.bytes("plaintext"))
            try expectEqual(sealed, try frame.bytes("ciphertext"), "frame \(try frame.int("counter"))")
            try expectEqual(Frame.encode(sealed), try frame.bytes("frame"), "frame with its length")
            try expectEqual(try receiver.open(sealed), try frame.bytes("plaintext"), "opened frame")
        }
    }
}

extension JSONValue {
    /// A `{private, public}` pair, checked.
    func privateKey(_ key: String) throws -> PrivateKey {
        let pair = try member(key)
        let own = try PrivateKey(try pair.bytes("private"))
        try expectEqual(own.publicKey.bytes, try pair.bytes("public"), "public key of \(key)")
        return own
    }
}
