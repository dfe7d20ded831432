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
    case json(Int, [UInt8], headers: [String: String] = [:])
    /// Never answers; the connection stays.
    case hang
    /// Closes without a word.
    case close

    package static func json(_ status: Int, _ object: [String: Any], headers: [String: String] = [:]) -> FakeAnswer {
        .json(status, FakeAnswer.bytes(object), headers: headers)
    }

    package static func bytes(_ object: Any) -> [UInt8] {
        Array((try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])) ?? Data())
    }
}

/// A web server on loopback that plays somebody's API. An answer may take its time.
package final class FakeAPI: Sendable {
    package let port: Int
    private let listener: any Channel
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    package static func start(port: Int, _ answer: @escaping @Sendable (FakeRequest) async -> FakeAnswer) async throws -> FakeAPI {
        let register = Register()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                register.api.withLock { $0 }?.add(channel)
                return channel.eventLoop.makeCompletedFuture {
                    // One request after the other on a connection.
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: true)
                    try channel.pipeline.syncOperations.addHandler(FakeHandler(answer))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        let api = FakeAPI(listener)
        register.api.withLock { $0 = api }
        return api
    }

    private init(_ listener: any Channel) {
        self.listener = listener
        port = listener.localAddress?.port ?? 0
    }

    package var url: String { "http://127.0.0.1:\(port)" }

    /// Nobody listens any more, and every connection is gone.
    package func stop() async {
        do { try await listener.close() } catch {}
        for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }

    private func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        channels.withLock { $0[id] = channel }
        channel.closeFuture.whenComplete { [weak self] _ in self?.forget(id) }
    }

    private func forget(_ id: ObjectIdentifier) { _ = channels.withLock { $0.removeValue(forKey: id) } }

    /// Connections may come before the server has a name.
    private final class Register: Sendable { let api = Mutex<FakeAPI?>(nil) }
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
        case .json(let status, let body, let headers):
            var fields = HTTPHeaders(headers.map { ($0.key, $0.value) })
            fields.replaceOrAdd(name: "content-type", value: "application/json")
            fields.replaceOrAdd(name: "content-length", value: "\(body.count)")
            context.write(
                wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: fields))),
                promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
