import NIOCore
import NIOWebSocket
import Primitives
import WhatsAppWire

/// One client's WebSocket: bytes to frames, the handshake, frames to stanzas, and back.
///
/// WebSocket messages are a byte stream: a frame may be split over several, or share one. Outgoing, each frame with its length is one message. Nothing a client
/// sends does more than close its own connection. Lives on the channel's event loop.
final class NoiseChannelHandler: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundIn = Outgoing
    typealias OutboundOut = WebSocketFrame

    enum Outgoing: Sendable {
        case stanza(Node)
        case close(lingers: Bool)
    }

    private enum Phase {
        case awaitsHello(NoiseResponder)
        case awaitsFinish(NoiseResponder)
        case open(WireChannel, connection: Int)
        case closed
    }

    /// The longest frame that is taken: 1 MiB and its tag.
    static let maximumFrame = (1 << 20) + 16

    /// Between a last stanza and the close. Some clients lose what they have not handled yet when the line breaks, and then come back at once.
    private static let linger = TimeAmount.milliseconds(200)

    private let engine: Engine
    private var phase: Phase
    /// Whether the last stanza was written.
    private var isEnding = false
    private var reader = FrameReader(maximumLength: NoiseChannelHandler.maximumFrame, expectsIntro: true)
    /// The optional routing prefix in front of the intro, until it has passed.
    private var prefix: [UInt8]? = []

    init(engine: Engine) {
        self.engine = engine
        phase = .awaitsHello(
            NoiseResponder(
                staticKey: engine.identity.staticKey, ephemeral: PrivateKey(random: engine.random), certificate: engine.identity.certificate))
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .binary, .continuation:
            var payload = frame.unmaskedData
            received(payload.readBytes(length: payload.readableBytes) ?? [], context)
        case .ping:
            context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData)), promise: nil)
        case .connectionClose: close(context)
        default: break
        }
    }

    private func received(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        reader.append(withoutRoutingPrefix(bytes))
        do {
            while case let payload? = try reader.next() {
                if case .closed = phase { return }
                try received(frame: payload, context)
            }
        } catch {
            engine.withState { state in state.counters.malformedFrames += 1 }
            close(context)
        }
    }

    private func received(frame: [UInt8], _ context: ChannelHandlerContext) throws(WireError) {
        switch phase {
        case .awaitsHello(var responder):
            let hello = try responder.received(clientHello: frame)
            phase = .awaitsFinish(responder)
            write(frame: hello, context, promise: nil)
            context.flush()
        case .awaitsFinish(var responder):
            let (key, payload, channel) = try responder.received(clientFinish: frame)
            // The first stanza is written when the lock is left, so the channel is in place by then: ports only queue on this event loop.
            let port = ConnectionPort(channel: context.channel)
            let id = engine.withState { state in state.connected(port: port, clientKey: key, payload: payload) }
            phase = .open(channel, connection: id)
        case .open(var channel, let connection):
            let plaintext = try channel.open(frame)
            phase = .open(channel, connection: connection)
            do {
                let stanza = try NodeCodec.decode(frame: plaintext)
                engine.withState { state in state.received(stanza, from: connection) }
            } catch {
                // The stream is still in step: only this stanza is lost.
                engine.withState { state in state.counters.malformedFrames += 1 }
            }
        case .closed: break
        }
    }

    /// `45 44 00 01`, a length of 3 bytes and so many bytes may come before the intro (protocol.md 2.2); they mean nothing here.
    private func withoutRoutingPrefix(_ bytes: [UInt8]) -> [UInt8] {
        guard var start = prefix else { return bytes }
        start += bytes
        guard start.count >= 7 || start.first != 0x45 else {
            prefix = start
            return []
        }
        guard start.starts(with: [0x45, 0x44, 0x00, 0x01]) else {
            prefix = nil
            return start
        }
        let length = 7 + (Int(start[4]) << 16 | Int(start[5]) << 8 | Int(start[6]))
        guard start.count >= length else {
            prefix = start.count > Self.maximumFrame ? nil : start
            return []
        }
        prefix = nil
        return Array(start[length...])
    }

    func channelInactive(context: ChannelHandlerContext) {
        if case .open(_, let connection) = phase { engine.withState { state in state.disconnected(connection) } }
        phase = .closed
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .open(var channel, let connection) = phase, !isEnding else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .stanza(let stanza):
            do {
                let sealed = try channel.seal(try NodeCodec.encode(stanza))
                phase = .open(channel, connection: connection)
                write(frame: sealed, context, promise: promise)
            } catch {
                promise?.fail(error)
            }
        case .close(let lingers):
            promise?.succeed()
            isEnding = true
            if lingers { linger(context) } else { close(context) }
        }
    }

    private func write(frame: [UInt8], _ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?) {
        let data = ByteBuffer(bytes: Frame.encode(frame))
        context.write(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .binary, data: data)), promise: promise)
    }

    private func linger(_ context: ChannelHandlerContext) {
        let ending = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.linger) { ending.value.handler.close(ending.value.context) }
    }

    private func close(_ context: ChannelHandlerContext) {
        if case .closed = phase { return }
        if case .open(_, let connection) = phase { engine.withState { state in state.disconnected(connection) } }
        phase = .closed
        var reason = ByteBuffer()
        reason.writeInteger(UInt16(1000))
        context.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: reason)), promise: nil)
        context.close(promise: nil)
    }
}

/// Never shared: each lives on the event loop of its channel.
@available(*, unavailable)
extension NoiseChannelHandler: Sendable {}
