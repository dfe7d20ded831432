import Primitives
import WhatsAppWire

/// The bytes of one connection, without socket and clock: handshake first, then nodes (protocol.md 2).
///
///     hello sent ─▶ open ─▶ broken (after any error)
struct Link: Sendable {
    /// What the owner of the socket does next, in this order.
    enum Action: Sendable {
        case send([UInt8])
        /// The handshake is done; nodes may be sent from here on.
        case opened
        case node(Node)
        /// A frame that could not be read; it is lost, the connection is not.
        case unreadableFrame
    }

    private enum Stage: Sendable {
        case helloSent(NoiseInitiator)
        case open(WireChannel)
        case broken
    }

    private var stage: Stage
    private var reader = FrameReader()
    private var hello: [UInt8]
    private let payload: [UInt8]

    /// - Parameters:
    ///   - staticKey: the device's Noise key; `ephemeral` is new for every connection.
    ///   - payload: the serialized `ClientPayload`.
    init(staticKey: PrivateKey, ephemeral: PrivateKey, rootKey: PublicKey, payload: [UInt8]) {
        var noise = NoiseInitiator(staticKey: staticKey, ephemeral: ephemeral, rootKey: rootKey)
        hello = Frame.intro + Frame.encode(noise.hello())
        self.payload = payload
        stage = .helloSent(noise)
    }

    var isOpen: Bool {
        if case .open = stage { true } else { false }
    }

    /// The first bytes of the connection. Called once.
    mutating func start() -> [UInt8] {
        defer { hello = [] }
        return hello
    }

    /// Bytes from the server, cut anywhere. `now` is in unix seconds and judges the certificate. After an error nothing can be read any more.
    mutating func received(_ bytes: some Collection<UInt8>, now: Int64) throws(WireError) -> [Action] {
        reader.append(bytes)
        var actions: [Action] = []
        do throws(WireError) {
            while let frame = try reader.next() {
                try take(frame, now: now, into: &actions)
            }
        } catch {
            stage = .broken
            throw error
        }
        return actions
    }

    private mutating func take(_ frame: [UInt8], now: Int64, into actions: inout [Action]) throws(WireError) {
        switch stage {
        case .helloSent(var noise):
            let (message, channel) = try noise.finish(serverHello: frame, clientPayload: payload, now: now)
            stage = .open(channel)
            actions.append(.send(Frame.encode(message)))
            actions.append(.opened)
        case .open(var channel):
            stage = .broken
            let plaintext = try channel.open(frame)
            stage = .open(channel)
            do throws(WireError) {
                actions.append(.node(try NodeCodec.decode(frame: plaintext)))
            } catch {
                actions.append(.unreadableFrame)
            }
        case .broken:
            throw WireError(.handshake, "broken")
        }
    }

    /// The frame of an encoded node. The order of calls must be the order on the wire.
    mutating func seal(_ encoded: [UInt8]) throws(WireError) -> [UInt8] {
        guard case .open(var channel) = stage else { throw WireError(.handshake, "not open") }
        stage = .broken
        let sealed = try channel.seal(encoded)
        stage = .open(channel)
        return Frame.encode(sealed)
    }
}
