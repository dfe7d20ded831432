package import Foundation
package import HTTPTypes
package import Hummingbird

/// Lets an authenticated request through while its key's and its account's buckets last. While a limit is set every answer says how they
/// stand, in the fields of draft-ietf-httpapi-ratelimit-headers-10.
package struct RequestLimiter: RouterMiddleware {
    private let limits: RequestLimits
    private let buckets: RequestBuckets
    private let now: @Sendable () -> Date

    package init(_ limits: RequestLimits, now: @escaping @Sendable () -> Date) {
        self.limits = limits
        buckets = RequestBuckets(limits)
        self.now = now
    }

    package func handle(
        _ request: Request, context: WebContext, next: (Request, WebContext) async throws -> Response
    ) async throws -> Response {
        guard limits.isOn, let caller = context.caller else { return try await next(request, context) }
        let answer = buckets.take(caller, now: now())
        if let refused = answer.refused {
            throw Self.tooMany(refused, all: answer.standings)
        }
        var response: Response
        do { response = try await next(request, context) } catch { response = ProblemMiddleware.response(to: error, context) }
        for (name, value) in Self.fields(answer.standings) { response.headers[name] = value }
        return response
    }

    private static func tooMany(_ refused: RequestBuckets.Standing, all: [RequestBuckets.Standing]) -> Problem {
        let whose = refused.name == .perKey ? "This API key" : "This account"
        var problem = Problem.limited(
            "\(whose) makes more requests than it may: \(refused.quota) in \(refused.window) seconds.", limit: refused.name.rawValue,
            after: refused.reset)
        for (name, value) in fields(all) { problem.headers[name] = value }
        return problem
    }

    private static func fields(_ standings: [RequestBuckets.Standing]) -> [(HTTPField.Name, String)] {
        [
            (.rateLimitPolicy, standings.map { "\"\($0.name.rawValue)\";q=\($0.quota);w=\($0.window)" }.joined(separator: ", ")),
            (.rateLimit, standings.map { "\"\($0.name.rawValue)\";r=\($0.remaining);t=\($0.reset)" }.joined(separator: ", ")),
        ]
    }
}

extension HTTPField.Name {
    // Constant names; the fallbacks are never taken because both are valid tokens (RFC 9110 §5.6.2).
    package static let rateLimitPolicy = HTTPField.Name("RateLimit-Policy") ?? .date
    package static let rateLimit = HTTPField.Name("RateLimit") ?? .date
    package static let forwardedFor = HTTPField.Name("X-Forwarded-For") ?? .date
}
