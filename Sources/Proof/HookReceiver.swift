import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// One request that a receiver got.
package struct HookRequest: Sendable {
    package let path: String
    /// Names in lower case.
    package let headers: [String: String]
    package let body: [UInt8]

    /// `webhook-id`.
    package var id: String { headers["webhook-id"] ?? "" }
}

/// What a receiver does with a request.
package enum HookAnswer: Sendable {
    case status(Int, headers: [String: String] = [:], body: [UInt8] = [])
    /// Never answers; the connection stays.
    case hang
    /// Closes without a word, as a process that dies does.
    case close
    /// A status, and then a body without an end: as fast as it goes, or a byte a second.
    case endless(isSlow: Bool)
}

/// A web server on loopback that takes webhooks and behaves as it is told, well or badly.
package final class HookReceiver: Sendable {
    package let port: Int
    private let listener: any Channel
    private let open: Connections

    /// - Parameter answer: called for every request, on an event loop: it does not wait for anything.
    package static func start(host: String = "127.0.0.1", port: Int = 0, _ answer: @escaping @Sendable (HookRequest) -> HookAnswer) async throws
        -> HookReceiver
    {
        let open = Connections()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                open.add(channel)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(answer))
                }
            }
            .bind(host: host, port: port).get()
        return HookReceiver(listener, open)
    }

    private init(_ listener: any Channel, _ open: Connections) {
        self.listener = listener
        self.open = open
        port = listener.localAddress?.port ?? 0
    }

    package var url: String { "http://127.0.0.1:\(port)" }

    /// Nobody listens any more, and every connection is gone.
    package func stop() async {
        do { try await listener.close() } catch {}
        open.closeAll()
    }
}

private final class Connections: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        channels.withLock { $0[id] = channel }
        channel.closeFuture.whenComplete { [weak self] _ in self?.remove(id) }
    }

    private func remove(_ id: ObjectIdentifier) { _ = channels.withLock { $0.removeValue(forKey: id) } }

    func closeAll() { for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) } }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: @Sendable (HookRequest) -> HookAnswer
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []

    init(_ answer: @escaping @Sendable (HookRequest) -> HookAnswer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
        case .body(let buffer): body += buffer.readableBytesView
        case .end:
            guard let head else { return }
            let headers = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { first, _ in first })
            respond(answer(HookRequest(path: head.uri, headers: headers, body: body)), context)
        }
    }

    private func respond(_ answer: HookAnswer, _ context: ChannelHandlerContext) {
        switch answer {
        case .hang: break
        case .close: context.close(promise: nil)
        case .status(let status, let headers, let body):
            var fields = HTTPHeaders(headers.map { ($0.key, $0.value) })
            fields.replaceOrAdd(name: "content-length", value: "\(body.count)")
            write(HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: fields), context)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        case .endless(let isSlow):
            write(HTTPResponseHead(version: .http1_1, status: .ok, headers: ["transfer-encoding": "chunked"]), context)
            more(isSlow, context)
        }
    }

    private func write(_ head: HTTPResponseHead, _ context: ChannelHandlerContext) { context.write(wrapOutboundOut(.head(head)), promise: nil) }

    private func more(_ isSlow: Bool, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        let chunk = ByteBuffer(repeating: 0x61, count: isSlow ? 1 : 65_536)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(chunk)))).whenSuccess {
            let (handler, context) = bound.value
            context.eventLoop.assumeIsolated().scheduleTask(in: isSlow ? .seconds(1) : .zero) { handler.more(isSlow, context) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
