import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// One request that a fake of somebody's API got.
package struct FakeRequest: Sendable {
    package let method: String
    /// With the query.
    package let path: String
    /// Names in lower case.
    package let headers: [String: String]
    package let body: [UInt8]

    /// The body as a JSON object; nil: it is none.
    package var object: [String: Any]? { (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] }
}

/// What a fake does with a request.
package enum FakeAnswer: Sendable {
    case bytes(Int, [UInt8], headers: [String: String] = [:])
    /// Never answers; the connection stays.
    case hang
    /// Closes without a word, as a process that dies does.
    case close
    /// A status, and then a body without an end: as fast as it goes, or a byte a second.
    case endless(isSlow: Bool)

    package static func json(_ status: Int, _ body: [UInt8], headers: [String: String] = [:]) -> FakeAnswer {
        .bytes(status, body, headers: headers.merging(["content-type": "application/json"]) { $1 })
    }

    package static func json(_ status: Int, _ object: [String: Any], headers: [String: String] = [:]) -> FakeAnswer {
        .json(status, FakeAnswer.bytes(object), headers: headers)
    }

    package static func bytes(_ object: Any) -> [UInt8] {
        Array((try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])) ?? Data())
    }
}

/// A web server on loopback that plays somebody else, well or badly. An answer may take its time.
package final class FakeAPI: Sendable {
    package let port: Int
    private let listener: any Channel
    private let open: Connections

    package static func start(host: String = "127.0.0.1", port: Int, _ answer: @escaping @Sendable (FakeRequest) async -> FakeAnswer) async throws
        -> FakeAPI
    {
        let open = Connections()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                open.add(channel)
                return channel.eventLoop.makeCompletedFuture {
                    // One request after the other on a connection.
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: true)
                    try channel.pipeline.syncOperations.addHandler(FakeHandler(answer))
                }
            }
            .bind(host: host, port: port).get()
        return FakeAPI(listener, open)
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

private final class FakeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: @Sendable (FakeRequest) async -> FakeAnswer
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []

    init(_ answer: @escaping @Sendable (FakeRequest) async -> FakeAnswer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
        case .body(let buffer): body += buffer.readableBytesView
        case .end:
            guard let head else { return }
            let headers = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { first, _ in first })
            let request = FakeRequest(method: head.method.rawValue, path: head.uri, headers: headers, body: body)
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.makeFutureWithTask { [answer] in await answer(request) }.whenSuccess { answer in
                let (handler, context) = bound.value
                handler.respond(answer, context)
            }
        }
    }

    private func respond(_ answer: FakeAnswer, _ context: ChannelHandlerContext) {
        switch answer {
        case .hang: break
        case .close: context.close(promise: nil)
        case .bytes(let status, let body, let headers):
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
