import Foundation
package import NIOCore
package import NIOHTTP1
import NIOPosix

/// One HTTP/1.1 connection to a local server that is kept alive; one request at a time.
package final class HTTPConnection {
    package struct Answer: Sendable {
        package var status: Int
        package var headers = HTTPHeaders()
        package var body: ByteBuffer

        /// Throws when the body is not what was expected.
        package func decoded<Body: Decodable>(as type: Body.Type = Body.self) throws -> Body {
            do { return try JSONDecoder().decode(type, from: Data(body.readableBytesView)) } catch {
                throw ProofFailure("an answer with status \(status) was not understood as \(type)")
            }
        }
    }

    private typealias Socket = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private var answers: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator
    private let requests: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>
    private let headers: HTTPHeaders

    private init(
        _ answers: NIOAsyncChannelInboundStream<HTTPClientResponsePart>, _ requests: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>,
        headers: HTTPHeaders
    ) {
        self.answers = answers.makeAsyncIterator()
        self.requests = requests
        self.headers = headers
    }

    /// Connects to 127.0.0.1, runs `body`, closes.
    /// - Parameter key: an API key to send with every request.
    package static func with<Result: Sendable>(port: Int, key: String? = nil, _ body: (HTTPConnection) async throws -> Result) async throws -> Result
    {
        let socket = try await ClientBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try Socket(wrappingChannelSynchronously: channel)
                }
            }
        var headers = HTTPHeaders([("Host", "127.0.0.1:\(port)")])
        if let key { headers.add(name: "Authorization", value: "Bearer \(key)") }
        return try await socket.executeThenClose { inbound, outbound in
            try await body(HTTPConnection(inbound, outbound, headers: headers))
        }
    }

    /// Throws when the connection ends before the answer does.
    /// - Parameter fields: further header fields, which win over those that are sent anyway.
    package func send(
        _ method: HTTPMethod, _ path: String, idempotencyKey: String? = nil, fields: [String: String] = [:], json: String? = nil
    ) async throws -> Answer {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        for (name, value) in fields { head.headers.replaceOrAdd(name: name, value: value) }
        if let idempotencyKey { head.headers.add(name: "Idempotency-Key", value: idempotencyKey) }
        if let json {
            head.headers.add(name: "Content-Type", value: "application/json")
            head.headers.add(name: "Content-Length", value: String(json.utf8.count))
            try await requests.write(contentsOf: [.head(head), .body(.byteBuffer(ByteBuffer(string: json))), .end(nil)])
        } else {
            try await requests.write(contentsOf: [.head(head), .end(nil)])
        }
        var answer = Answer(status: 0, body: ByteBuffer())
        while let part = try await answers.next() {
            switch part {
            case .head(let head):
                answer.status = Int(head.status.code)
                answer.headers = head.headers
            case .body(var bytes): answer.body.writeBuffer(&bytes)
            case .end: return answer
            }
        }
        throw ProofFailure("the server closed the connection in the middle of \(method) \(path)")
    }
}
