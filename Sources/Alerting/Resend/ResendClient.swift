package import Foundation
package import OutboundHTTP

/// Resend's API as we use it: e-mails one by one or a hundred at once, each under a key that makes a second try the same as the first.
///
///     let resend = ResendClient(key: key, endpoint: endpoint, http: http)
///     let id = try await resend.send(email, key: "alert/ntc_…").id
///
/// It neither waits nor repeats. A key is good for 24 hours (resend.com/docs/dashboard/emails/idempotency-keys): a try after that could be a
/// second e-mail.
package struct ResendClient: Sendable {
    /// As many e-mails go into one request. (resend.com/docs/api-reference/emails/send-batch-emails)
    package static let batchLimit = 100
    /// How long a key is remembered.
    package static let keyLifetime: TimeInterval = 86_400

    /// What was taken, and what Resend says about its limit.
    package struct Taken: Sendable, Hashable {
        /// In the order of the e-mails.
        package var ids: [String]
        package var pause: Duration?

        package var id: String { ids.first ?? "" }
    }

    private let key: ResendKey
    private let endpoint: AlertEndpoint
    private let http: HTTPClient
    private let deadline: Duration

    package init(key: ResendKey, endpoint: AlertEndpoint, http: HTTPClient, deadline: Duration = .seconds(20)) {
        self.deadline = deadline
        self.key = key
        self.endpoint = endpoint
        self.http = http
    }

    /// - Parameter key: 1 to 256 characters, one for each e-mail, the same for each try.
    package func send(_ email: Email, key: String) async throws(ResendFailure) -> Taken {
        let (one, pause): (One, Duration?) = try await call(.post, "/emails", email, key: key)
        return Taken(ids: [one.id], pause: pause)
    }

    /// At most `batchLimit`, all or none of them. (resend.com/docs/api-reference/emails/send-batch-emails)
    package func send(_ emails: [Email], key: String) async throws(ResendFailure) -> Taken {
        let (all, pause): (All, Duration?) = try await call(.post, "/emails/batch", emails, key: key)
        guard all.data.count == emails.count else { throw .unreadable(status: 200) }
        return Taken(ids: all.data.map(\.id), pause: pause)
    }

    /// What last happened to an e-mail: `delivered`, `bounced` … (resend.com/docs/api-reference/emails/retrieve-email)
    /// - Throws: `unauthorized` too when the key may only send.
    package func lastEvent(of id: String) async throws(ResendFailure) -> String? {
        guard !id.isEmpty, id.utf8.count <= 64, id.utf8.allSatisfy({ Self.idLetters.contains($0) }) else { throw .notFound }
        let (email, _): (Sent, Duration?) = try await call(.get, "/emails/\(id)", String?.none, key: nil)
        return email.lastEvent
    }

    /// Whether the key is one, without sending anything: an e-mail without fields is refused for what it lacks, and only if the key is good.
    package func check() async throws(ResendFailure) {
        do throws(ResendFailure) {
            let (_, _): (One, Duration?) = try await call(.post, "/emails", [String: String](), key: nil)
        } catch {
            guard case .refused = error else { throw error }
        }
    }

    // MARK: One call

    private func call<Result: Decodable>(
        _ method: OutboundRequest.Method, _ path: String, _ body: (some Encodable)?, key idempotencyKey: String?
    ) async throws(ResendFailure) -> (Result, Duration?) {
        let response: OutboundResponse
        do throws(OutboundFailure) {
            var headers = [try OutboundHeader("authorization", "Bearer \(key.text)")]
            if body != nil { headers.append(try OutboundHeader("content-type", "application/json")) }
            if let idempotencyKey { headers.append(try OutboundHeader("idempotency-key", idempotencyKey)) }
            var request = try OutboundRequest(method, try endpoint.url(path), headers: headers, body: try Self.json(body))
            request.deadline = deadline
            response = try await http.send(request)
        } catch {
            throw .network(error)
        }
        let answer = Data(response.body)
        guard response.isSuccess else {
            let name = (try? JSONDecoder().decode(Refusal.self, from: answer))?.name ?? ""
            throw ResendFailure(status: response.status, name: name, retryAfter: response.retryAfter)
        }
        guard let result = try? JSONDecoder().decode(Result.self, from: answer) else { throw .unreadable(status: response.status) }
        return (result, Self.pause(response))
    }

    /// How long to wait before the next request, when the answer says that this was the last one for now. (resend.com/docs/api-reference/rate-limit)
    private static func pause(_ response: OutboundResponse) -> Duration? {
        guard response.header("ratelimit-remaining") == "0", let reset = response.header("ratelimit-reset").flatMap({ Double($0) }), reset > 0,
            reset <= 3_600
        else { return nil }
        return .seconds(reset)
    }

    /// Byte for byte the same for the same value, so that a second try is recognised.
    private static func json(_ body: (some Encodable)?) throws(OutboundFailure) -> [UInt8] {
        guard let body else { return [] }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(body)) } catch {
            throw OutboundFailure(.invalidRequest, "an e-mail could not be written as JSON", isTransient: false)
        }
    }

    private static let idLetters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-".utf8)

    private struct One: Decodable { let id: String }
    private struct All: Decodable { let data: [One] }
    private struct Refusal: Decodable { let name: String? }
    private struct Sent: Decodable {
        let lastEvent: String?
        enum CodingKeys: String, CodingKey { case lastEvent = "last_event" }
    }
}
