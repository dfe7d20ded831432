import NIOCore
import NIOHTTP1

/// Reads one request after another and answers each, with JSON but for the root key. Lives on the channel's event loop.
final class ControlHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private static let maximumBody = 1 << 20

    private let routes: ControlRoutes
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isTooLong = false

    init(engine: Engine) { routes = ControlRoutes(engine: engine) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            isTooLong = false
        case .body(let part):
            guard body.count + part.readableBytes <= Self.maximumBody else {
                isTooLong = true
                return
            }
            body += part.readableBytesView
        case .end:
            guard let head else { return }
            self.head = nil
            let response: ControlResponse =
                isTooLong
                ? .failure(413, "body_too_long")
                // Browsers name a page's origin; no page has business here.
                : head.headers.contains(name: "origin")
                    ? .failure(403, "no_browsers")
                    : routes.answer(method: head.method.rawValue, uri: head.uri, accept: head.headers["accept"], body: body)
            write(response, keepAlive: head.isKeepAlive, version: head.version, context)
        }
    }

    private func write(_ response: ControlResponse, keepAlive: Bool, version: HTTPVersion, _ context: ChannelHandlerContext) {
        var headers = HTTPHeaders([("content-type", response.contentType), ("content-length", String(response.body.count))])
        if !keepAlive { headers.add(name: "connection", value: "close") }
        let status = HTTPResponseStatus(statusCode: response.status)
        context.write(wrapOutboundOut(.head(HTTPResponseHead(version: version, status: status, headers: headers))), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
        if keepAlive {
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        } else {
            let channel = context.channel
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
