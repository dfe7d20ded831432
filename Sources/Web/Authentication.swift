package import Domain
package import Foundation
package import Hummingbird
import HTTPTypes

/// Lets a request through only with an API key that works, and puts its caller into the context.
///
/// A damaged key is refused before any look-up or hashing. An address that shows more than `FailedKeyThrottle.limit` wrong keys a minute is
/// refused with 429 until the minute is over.
package struct Authentication: RouterMiddleware {
    private let gateway: Gateway
    private let throttle = FailedKeyThrottle()
    private let now: @Sendable () -> Date

    package init(gateway: Gateway, now: @escaping @Sendable () -> Date) {
        self.gateway = gateway
        self.now = now
    }

    package func handle(
        _ request: Request, context: WebContext, next: (Request, WebContext) async throws -> Response
    ) async throws -> Response {
        let time = now()
        guard let header = request.headers[.authorization] else {
            throw Self.unauthorized(.missingKey, "Send Authorization: Bearer and an API key.")
        }
        if let wait = throttle.wait(for: context.peerAddress, now: time) {
            throw Problem.retryable(.tooManyRequests, "Too many wrong API keys from this address; limit: failed_keys_per_minute.", after: wait)
        }
        do {
            var context = context
            let caller = try await gateway.apiKeys.authenticate(Self.token(in: header), now: time)
            context.caller = caller
            context.logger[metadataKey: "account.id"] = "\(caller.account)"
            if let key = caller.key { context.logger[metadataKey: "api_key.id"] = "\(key)" }
            return try await next(request, context)
        } catch let failure as AuthenticationFailure {
            switch failure {
            case .busy:
                throw Problem.retryable(.tooManyRequests, "Too many API keys are being verified at once; limit: key_verifications.", after: 1)
            case .malformed:
                throttle.failed(context.peerAddress, now: time)
                throw Self.unauthorized(.malformedKey, "The API key is cut off or mistyped: its checksum does not fit.")
            case .unknown, .revoked, .expired:
                throttle.failed(context.peerAddress, now: time)
                throw Self.unauthorized(.invalidKey, "The API key is unknown, revoked or expired.")
            }
        }
    }

    private static func token(in header: String) -> String {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return "" }
        return String(parts[1])
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
}
