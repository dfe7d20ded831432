package import Fakes

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
package typealias HookAnswer = FakeAnswer

extension HookAnswer {
    package static func status(_ status: Int, headers: [String: String] = [:], body: [UInt8] = []) -> HookAnswer {
        .bytes(status, body, headers: headers)
    }
}

/// A web server on loopback that takes webhooks and behaves as it is told, well or badly.
package final class HookReceiver: Sendable {
    private let server: FakeAPI

    /// - Parameter answer: called for every request.
    package static func start(host: String = "127.0.0.1", port: Int = 0, _ answer: @escaping @Sendable (HookRequest) -> HookAnswer) async throws
        -> HookReceiver
    {
        HookReceiver(
            try await FakeAPI.start(host: host, port: port) { request in
                answer(HookRequest(path: request.path, headers: request.headers, body: request.body))
            })
    }

    private init(_ server: FakeAPI) { self.server = server }

    package var port: Int { server.port }
    package var url: String { server.url }

    /// Nobody listens any more, and every connection is gone.
    package func stop() async { await server.stop() }
}
