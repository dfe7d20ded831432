import Foundation
package import Primitives

/// The server's side of the handshake, for the simulator. Its two steps are called once each, in order; after an error it is of no more use.
package struct NoiseResponder: Sendable {
    private enum Phase { case fresh, helloSent, over }

    private let staticKey: PrivateKey
    private let ephemeral: PrivateKey
    private let certificate: [UInt8]
    private var state = NoiseState(intro: Frame.intro)
    private var phase = Phase.fresh

    /// - Parameters:
    ///   - ephemeral: Made for this connection only.
    ///   - certificate: The serialized chain for `staticKey`, see `CertificateChain.make`. It is sent as it is.
    package init(staticKey: PrivateKey, ephemeral: PrivateKey, certificate: [UInt8]) {
        self.staticKey = staticKey
        self.ephemeral = ephemeral
        self.certificate = certificate
    }

    /// The server hello, in answer to the client's first message.
    /// - Throws: `handshake` or `malformed`.
    package mutating func received(clientHello: [UInt8]) throws(WireError) -> [UInt8] {
        guard phase == .fresh else { throw WireError(.handshake, "client hello out of order") }
        phase = .over
        let message = try WAHandshakeMessage(wire: clientHello)
        guard message.hasClientHello else { throw WireError(.handshake, "no client hello") }
        let peerEphemeral = try PublicKey(handshake: [UInt8](message.clientHello.ephemeral))
        state.mixHash(peerEphemeral.bytes)
        state.mixHash(ephemeral.publicKey.bytes)
        try state.mixKey(ephemeral, peerEphemeral)
        var answer = WAHandshakeMessage()
        answer.serverHello.ephemeral = Data(ephemeral.publicKey.bytes)
        answer.serverHello.static = Data(try state.encrypt(staticKey.publicKey.bytes))
        try state.mixKey(staticKey, peerEphemeral)
        answer.serverHello.payload = Data(try state.encrypt(certificate))
        phase = .helloSent
        return answer.wireBytes
    }

    /// Takes the client's last message; the channel is open from here on.
    /// - Returns: The client's Noise key and its serialized payload, see `ClientPayload.parse`.
    /// - Throws: `handshake` or `malformed`.
    package mutating func received(
        clientFinish: [UInt8]
    ) throws(WireError) -> (clientStatic: PublicKey, payload: [UInt8], channel: WireChannel) {
        guard phase == .helloSent else { throw WireError(.handshake, "client finish out of order") }
        phase = .over
        let message = try WAHandshakeMessage(wire: clientFinish)
        guard message.hasClientFinish, message.clientFinish.hasStatic, message.clientFinish.hasPayload else {
            throw WireError(.handshake, "incomplete client finish")
        }
        let clientStatic = try PublicKey(handshake: try state.decrypt([UInt8](message.clientFinish.static)))
        try state.mixKey(ephemeral, clientStatic)
        let payload = try state.decrypt([UInt8](message.clientFinish.payload))
        let keys = try state.transportKeys()
        return (clientStatic, payload, WireChannel(writeKey: keys.second, readKey: keys.first))
    }
}
