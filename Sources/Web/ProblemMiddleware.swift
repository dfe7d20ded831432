package import Hummingbird
import Domain
import HTTPTypes
import Logging
import NIOCore
import Postgres

/// Turns whatever a route throws into a problem response, and gives every response its request id.
/// What is not ours becomes 500 with nothing but the request id; the log has the error's type, never its text.
package struct ProblemMiddleware: RouterMiddleware {
    package init() {}

    package func handle(
        _ request: Request, context: WebContext, next: (Request, WebContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        context.adoptRequestID(of: request)
        var response: Response
        do {
            response = try await next(request, context)
        } catch {
            response = Self.response(to: error, context)
        }
        if response.headers[.connection] == "close" { response.body = Self.closing(response.body, context.channel) }
        response.headers[.requestID] = context.requestID
        response.headers[.xContentTypeOptions] = "nosniff"
        if response.headers[.cacheControl] == nil { response.headers[.cacheControl] = "no-store" }
        return response
    }

    /// No more requests are read once the body is written; the server then ends the connection. The header alone would only ask the client to.
    private static func closing(_ body: ResponseBody, _ channel: any Channel) -> ResponseBody {
        ResponseBody(contentLength: body.contentLength) { writer in
            try await body.write(writer)
            channel.close(mode: .input, promise: nil)
        }
    }

    /// The answer to a request that failed; what is a mistake of ours is logged here.
    static func response(to error: any Error, _ context: WebContext) -> Response {
        let problem = problem(for: error)
        if problem.code == .internalError { context.logger.error("request failed", metadata: ["error.code": "\(name(of: error))"]) }
        return problem.response(requestID: context.requestID)
    }

    /// What a client is told about an error.
    package static func problem(for error: any Error) -> Problem {
        switch error {
        case let problem as Problem: problem
        case let failure as AcceptFailure: self.problem(for: failure)
        case let invalid as InvalidMessage:
            Problem(
                .invalidRequest, "See errors for the fields to correct.",
                fields: invalid.problems.map { .init(pointer: $0.pointer, code: $0.code.rawValue, detail: $0.detail) })
        case let invalid as InvalidLimits: self.problem(for: invalid.problems)
        case let invalid as InvalidPool: self.problem(for: invalid.problems)
        case let invalid as InvalidEndpoint: self.problem(for: invalid.problems)
        case let invalid as InvalidChannel: self.problem(for: invalid.problems)
        case let invalid as InvalidAlertRule:
            Problem(.invalidAlertRule, "See errors for the thresholds to correct.", fields: fields(of: invalid.problems))
        case let refusal as ChannelRefusal: self.problem(for: refusal)
        case is InvalidID: Problem(.notFound, "There is no such thing in this account.")
        case let failure as DatabaseError where failure.isTransient:
            .retryable(.databaseUnavailable, "The database is not available; nothing that was accepted is lost.", after: 1)
        case let failure as DatabaseError where failure.code == .commitUnknown:
            .retryable(.databaseUnavailable, "The outcome is unknown; repeat with the same Idempotency-Key to learn it.", after: 1)
        case is AccountGone: Problem(.invalidKey, "The account is closed.", headers: [.wwwAuthenticate: "Bearer"])
        case is CancellationError: .retryable(.overloaded, "The gateway is stopping.", after: 1)
        case let error as HTTPError where error.status == .notFound: Problem(.notFound, "There is nothing at this path.")
        case let error as HTTPError where error.status == .methodNotAllowed: Problem(.methodNotAllowed, "See /openapi.yaml.")
        case let error as HTTPError where error.status == .contentTooLarge: Problem(.bodyTooLarge, "The body is too large.")
        default: Problem(.internalError, "Quote the request id to the operator.")
        }
    }

    private static func problem(for problems: [SettingsProblem]) -> Problem {
        Problem(.invalidRequest, "See errors for the fields to correct.", fields: fields(of: problems))
    }

    private static func fields(of problems: [SettingsProblem]) -> [Problem.Field] {
        problems.map { .init(pointer: $0.pointer, code: $0.code.rawValue, detail: $0.detail) }
    }

    private static func problem(for refusal: ChannelRefusal) -> Problem {
        switch refusal {
        case .tooManyChannels: Problem(.tooManyChannels, "Delete one that is no longer needed.")
        case .tooManyLinks: Problem(.tooManyLinks, "Delete one that nobody will use, or wait until it runs out.")
        case .channelExists: Problem(.channelExists, "Change that channel instead.")
        case .linkNotTaken: Problem(.linkNotTaken, "Open the link in Telegram first, and press Start.")
        case .channelNotActive: Problem(.channelNotActive, "Verify, confirm or link it first.")
        case .tooSoon: .limited("The last one was sent a moment ago.", limit: "channel_messages", after: 60)
        }
    }

    private static func problem(for failure: AcceptFailure) -> Problem {
        switch failure.code {
        case .idempotencyKeyReused: Problem(.idempotencyKeyReused, "This key was used with another body in the last 72 hours.")
        case .idempotencyInProgress: .retryable(.idempotencyInProgress, "Repeat the request in a moment.", after: 1)
        case .outcomeUnknown:
            .retryable(.databaseUnavailable, "The outcome is unknown; repeat with the same Idempotency-Key to learn it.", after: 1)
        case .unavailable: .retryable(.databaseUnavailable, "The database is not available; nothing was stored.", after: 1)
        case .accountClosed: Problem(.invalidKey, "The account is closed.", headers: [.wwwAuthenticate: "Bearer"])
        case .noSender: Problem(.noEligibleSender, failure.detail)
        case .noSenderAvailable:
            Problem(.noSenderAvailable, "No sender may send this now, and fail_fast was set; POST /v1/messages/explain tells why.")
        case .tooManyPending:
            .limited("The account has as many messages waiting as it may.", limit: "pending_per_account", after: 5)
        case .senderNotFound:
            Problem(
                .invalidRequest, "The named sender is not there.",
                fields: [.init(pointer: "/route/sender", code: "unknown", detail: "names no sender of this account")])
        case .senderNotAllowed: Problem(.senderNotAllowed, "The key may not use this sender.")
        case .poolNotFound:
            Problem(
                .invalidRequest, "The named pool is not there.",
                fields: [.init(pointer: "/route/pool", code: "unknown", detail: "names no pool of this account")])
        }
    }

    /// The type and, for database errors, the statement and SQLSTATE: all of it safe to log.
    private static func name(of error: any Error) -> String {
        if let failure = error as? DatabaseError { return "\(failure)" }
        return "\(type(of: error))"
    }
}
