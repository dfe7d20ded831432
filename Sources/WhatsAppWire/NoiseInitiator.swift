import Foundation
package import Primitives

/// The client's side of the handshake. Its two steps are called once each, in order; after an error it is of no more use.
package struct NoiseInitiator: Sendable {
    private enum Phase { case fresh, helloSent, over }

    private let staticKey: PrivateKey
    private let ephemeral: PrivateKey
    private let rootKey: PublicKey
    private var state = NoiseState(intro: Frame.intro)
    private var phase = Phase.fresh

    /// - Parameters:
    ///   - staticKey: The device's stored Noise key.
    ///   - ephemeral: Made for this connection only.
    ///   - rootKey: Signs the server's certificates; `CertificateChain.productionRoot` but for the simulator.
    package init(staticKey: PrivateKey, ephemeral: PrivateKey, rootKey: PublicKey) {
        self.staticKey = staticKey
        self.ephemeral = ephemeral
        self.rootKey = rootKey
    }

    /// The first message, to be sent behind the intro header. Asked again, it gives the same bytes.
    package mutating func hello() -> [UInt8] {
        let ownEphemeral = ephemeral.publicKey.bytes
        if phase == .fresh {
            state.mixHash(ownEphemeral)
            phase = .helloSent
        }
        var message = WAHandshakeMessage()
        message.clientHello.ephemeral = Data(ownEphemeral)
        return message.wireBytes
    }

    /// Verifies the server's answer and makes the last message; the channel is open as soon as that is sent.
    /// - Parameters:
    ///   - clientPayload: Made by `ClientPayload`.
    ///   - now: Unix seconds, for the certificates' validity.
    /// - Throws: `handshake`, `malformed` or `certificate`. Nothing may be sent then.
    package mutating func finish(
        serverHello: [UInt8], clientPayload: [UInt8], now: Int64
    ) throws(WireError) -> (message: [UInt8], channel: WireChannel) {
        guard phase == .helloSent else { throw WireError(.handshake, "server hello out of order") }
        phase = .over
        let message = try WAHandshakeMessage(wire: serverHello)
        guard message.hasServerHello, message.serverHello.hasStatic, message.serverHello.hasPayload else {
            throw WireError(.handshake, "incomplete server hello")
        }
        let peerEphemeral = try PublicKey(handshake: [UInt8](message.serverHello.ephemeral))
        state.mixHash(peerEphemeral.bytes)
        try state.mixKey(ephemeral, peerEphemeral)
        let peerStatic = try PublicKey(handshake: try state.decrypt([UInt8](message.serverHello.static)))
        try state.mixKey(ephemeral, peerStatic)
        let certificate = try state.decrypt([UInt8](message.serverHello.payload))
        try CertificateChain.verify(certificate, root: rootKey, serverStatic: peerStatic, now: now)

        var answer = WAHandshakeMessage()
        answer.clientFinish.static = Data(try state.encrypt(staticKey.publicKey.bytes))
        try state.mixKey(staticKey, peerEphemeral)
        answer.clientFinish.payload = Data(try state.encrypt(clientPayload))
        let keys = try state.transportKeys()
        return (answer.wireBytes, WireChannel(writeKey: keys.first, readKey: keys.second))
    }
}

extension PublicKey {
    /// A key inside a handshake message.
    /// - Throws: `handshake` unless there are 32 bytes.
    init(handshake bytes: [UInt8]) throws(WireError) {
        do {
            try self.init(bytes)
        } catch {
            throw WireError(.handshake, "key length")
        }
    }
}
