import HTTPTypes
import Hummingbird
import Logging
import Web

/// Counts and times every request by its route's template, and says so in the log at level debug, with the id of the message that it made: from
/// there on the log's lines about that message carry the message's id.
struct RequestMeasurement: RouterMiddleware {
    typealias Context = WebContext

    let measurements: Measurements

    func handle(
        _ request: Request, context: WebContext, next: (Request, WebContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        measurements.runningRequests.increment()
        defer { measurements.runningRequests.decrement() }
        let response = try await next(request, context)
        let took = start.duration(to: .now)
        measurements.answered(path: context.endpointPath, method: Self.method(request.method), status: response.status.code, after: took)
        context.logger.debug(
            "request answered",
            metadata: [
                // The caller's own, where it was taken over.
                "request.id": "\(response.headers[.requestID] ?? context.requestID)",
                "route": "\(Measurements.route(context.endpointPath))", "status": "\(response.status.code)", "duration_ms": "\(took.milliseconds)",
                "message.id": "\(Self.message(in: response) ?? "none")",
            ])
        return response
    }

    private static func method(_ method: HTTPRequest.Method) -> String {
        [.get, .head, .post, .put, .patch, .delete, .options].contains(method) ? method.rawValue : "other"
    }

    private static func message(in response: Response) -> Substring? {
        guard let location = response.headers[.location], location.hasPrefix("/v1/messages/") else { return nil }
        return location.dropFirst("/v1/messages/".count)
    }
}

extension Duration {
    /// For a log line.
    var milliseconds: Int64 { components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 }
}
