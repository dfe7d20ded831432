package import NIOCore
package import NIOHTTPTypes
import HTTPTypes

/// Ends a connection whose request does not arrive in time: a body that trickles in holds a task and memory for nothing. One per connection,
/// on its event loop. It stands behind the HTTP decoder, so the time runs from the end of the headers; headers that trickle in are the
/// server's idle limit.
package final class RequestDeadline: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = HTTPRequestPart
    package typealias InboundOut = HTTPRequestPart
    package typealias OutboundIn = HTTPResponsePart
    package typealias OutboundOut = HTTPResponsePart

    private let limit: TimeAmount
    private var timer: Scheduled<Void>?
    private var isAnswering = false

    /// - Parameter limit: for the whole body, however large it is.
    package init(limit: TimeAmount) { self.limit = limit }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            isAnswering = false
            timer?.cancel()
            timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { self.expire(context) }
        case .body: break
        case .end: stop()
        }
        context.fireChannelRead(data)
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .head = unwrapOutboundIn(data) { isAnswering = true }
        context.write(data, promise: promise)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        stop()
        context.fireChannelInactive()
    }

    package func handlerRemoved(context: ChannelHandlerContext) { stop() }

    private func stop() {
        timer?.cancel()
        timer = nil
    }

    /// The route is still waiting for the body, so nobody else writes; where an answer has begun the connection only ends.
    private func expire(_ context: ChannelHandlerContext) {
        timer = nil
        guard !isAnswering else { return context.close(promise: nil) }
        let problem = Problem(.requestTimeout, "The body of the request did not arrive in time; nothing was stored.")
        // The fallback is never taken: the document holds nothing that cannot be encoded.
        let body = (try? JSONResponse.bytes(problem.document(requestID: WebContext.makeRequestID()))) ?? []
        let fields: HTTPFields = [
            .connection: "close", .contentType: "application/problem+json; charset=utf-8", .contentLength: "\(body.count)",
        ]
        context.write(wrapOutboundOut(.head(HTTPResponse(status: problem.status, headerFields: fields))), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(bytes: body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
    }
}
