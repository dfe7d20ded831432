import Foundation
import NIOHTTP1

/// Single requests to a gateway on this machine, as its users make them; `HTTPConnection` is for many.
package enum HTTP {
    package struct Answer {
        package var status: Int
        /// Empty when the answer is no JSON object.
        package var body: [String: Any]
        /// Seconds, if it was said when to come again.
        package var retryAfter: Int?

        package init(status: Int, body: [String: Any], retryAfter: Int? = nil) {
            self.status = status
            self.body = body
            self.retryAfter = retryAfter
        }
    }

    /// Throws when there is no answer at all within `timeout` seconds, which a killed gateway is expected to cause.
    package static func request(
        _ method: String, _ url: String, key: String? = nil, idempotencyKey: String? = nil, body: [String: Any]? = nil, timeout: Double = 10
    ) async throws -> Answer {
        let json = try body.map { String(decoding: try JSONSerialization.data(withJSONObject: $0), as: UTF8.self) }
        return try await request(method, url, key: key, idempotencyKey: idempotencyKey, json: json, timeout: timeout)
    }

    /// The same with a body that is JSON already.
    package static func request(
        _ method: String, _ url: String, key: String? = nil, idempotencyKey: String? = nil, json: String?, timeout: Double = 10
    ) async throws -> Answer {
        guard let address = URLComponents(string: url), address.host == "127.0.0.1", let port = address.port else { throw URLError(.badURL) }
        let path = address.percentEncodedPath + (address.percentEncodedQuery.map { "?" + $0 } ?? "")
        let answer = try await within(.seconds(timeout)) {
            try await HTTPConnection.with(port: port, key: key) { connection in
                try await connection.send(HTTPMethod(rawValue: method), path, idempotencyKey: idempotencyKey, json: json)
            }
        }
        let object = try? JSONSerialization.jsonObject(with: Data(answer.body.readableBytesView)) as? [String: Any]
        return Answer(status: answer.status, body: object ?? [:], retryAfter: answer.headers.first(name: "Retry-After").flatMap { Int($0) })
    }

    private static func within<Result: Sendable>(
        _ limit: Duration, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await ContinuousClock().sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            guard let result = try await group.next() ?? nil else { throw ProofFailure("no answer within \(limit)") }
            return result
        }
    }
}
