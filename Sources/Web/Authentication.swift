package import Domain
package import Foundation
package import Hummingbird
import HTTPTypes
import NIOCore

/// Lets a request through only with an API key that works, and puts its caller into the context.
///
/// A damaged key is refused before any look-up or hashing. An address that has shown `FailedKeyThrottle.limit` wrong keys in a minute gets no
/// more keys looked up or hashed until it is over: it is refused with 429, except for keys that were verified shortly before, so that one
/// bad client behind a proxy does not lock out the others.
package struct Authentication: RouterMiddleware {
    private let gateway: Gateway
    private let throttle = FailedKeyThrottle()
    private let behindProxy: Bool
    private let now: @Sendable () -> Date

    /// - Parameter behindProxy: a proxy of ours stands in front and names the client's address as the last one in `X-Forwarded-For`. Without
    ///   it that header is a claim of the client's and is not read.
    package init(gateway: Gateway, behindProxy: Bool = false, now: @escaping @Sendable () -> Date) {
        self.gateway = gateway
        self.behindProxy = behindProxy
        self.now = now
    }

    package func handle(
        _ request: Request, context: WebContext, next: (Request, WebContext) async throws -> Response
    ) async throws -> Response {
        let time = now()
        guard let token = request.headers[.authorization].flatMap(Self.token) else {
            throw Self.unauthorized(.missingKey, "Send Authorization: Bearer and an API key.")
        }
        let caller = try await caller(token, from: address(of: request, context), now: time)
        var context = context
        context.caller = caller
        context.logger[metadataKey: "account.id"] = "\(caller.account)"
        if let key = caller.key { context.logger[metadataKey: "api_key.id"] = "\(key)" }
        return try await next(request, context)
    }

    private func caller(_ token: String, from address: String, now time: Date) async throws -> Caller {
        let wait = throttle.wait(for: address, now: time)
        do {
            return try await gateway.apiKeys.authenticate(token, mayHash: wait == nil, now: time)
        } catch let failure as AuthenticationFailure {
            if failure != .busy { throttle.failed(address, now: time) }
            if let wait { throw Self.throttled(for: wait) }
            switch failure {
            case .busy:
                throw Problem.limited("Too many API keys are being verified at once.", limit: "key_verifications", after: 1)
            case .malformed:
                throw Self.unauthorized(.malformedKey, "The API key is cut off or mistyped: its checksum does not fit.")
            case .unknown, .revoked, .expired:
                throw Self.unauthorized(.invalidKey, "The API key is unknown, revoked or expired.")
            }
        }
    }

    private func address(of request: Request, _ context: WebContext) -> String {
        guard behindProxy, let last = request.headers[values: .forwardedFor].last?.split(separator: ",").last else { return context.peerAddress }
        let text = last.trimmingCharacters(in: .whitespaces)
        guard (try? SocketAddress(ipAddress: text, port: 0)) != nil else { return context.peerAddress }
        return text
    }

    /// What follows `Bearer`; nil for another scheme.
    private static func token(in header: String) -> String? {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return parts[1].trimmingCharacters(in: .whitespaces)
    }

    /// 429 with the limit in the form of draft-ietf-httpapi-ratelimit-headers.
    private static func throttled(for seconds: Int) -> Problem {
        var problem = Problem.limited("Too many wrong API keys from this address.", limit: "failed_keys_per_minute", after: seconds)
        problem.headers[.rateLimitPolicy] = "\"failed_keys_per_minute\";q=\(FailedKeyThrottle.limit);w=60"
        problem.headers[.rateLimit] = "\"failed_keys_per_minute\";r=0;t=\(seconds)"
        return problem
    }

    private static func unauthorized(_ code: ProblemCode, _ detail: String) -> Problem {
        Problem(code, detail, headers: [.wwwAuthenticate: "Bearer"])
    }
}

extension Caller {
    /// Throws `missing_scope` unless the key has it.
    package func require(_ scope: APIKey.Scope) throws {
        guard scopes.contains(scope) else { throw Problem(.missingScope, "This needs the scope \(scope.rawValue).") }
    }

    /// Throws `live_key_required` for a test key: programs under test must not be able to end what is live.
    package func requireLive(_ what: String) throws {
        guard !isTest else { throw Problem(.liveKeyRequired, "A test key may not \(what).") }
    }

    /// A test key sees test things only; a live key sees everything.
    package func sees(isTest thing: Bool) -> Bool { thing || !isTest }
}
