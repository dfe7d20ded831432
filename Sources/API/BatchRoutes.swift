import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// Most bytes of a batch's body (design: §13.13).
    private static let maximumBatch = 4 * 1_024 * 1_024

    /// `POST /v1/messages/batch`: each item for itself. 202 when at least one is accepted, and then durable.
    func createMessages(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.send)
        let key = try idempotencyKey(request)
        if let key, key.value.utf8.count > BatchBody.maximumKey {
            throw Problem(.invalidIdempotencyKey, "The Idempotency-Key of a batch has at most \(BatchBody.maximumKey) characters.")
        }
        let body = try await JSONBody.read(BatchBody.self, from: request, limit: max(maximumBody, Self.maximumBatch))
        try body.checkCount()
        let time = now()

        // What could not be read as JSON keeps its place, so that every item has its own idempotency key.
        let messages = body.messages.map { item -> Result<SendMessage, InvalidMessage> in
            guard case .success(let body) = item.body else { return .failure(InvalidMessage([])) }
            return Result { () throws(InvalidMessage) in try body.message(caller, now: time) }
        }
        let outcomes = try await gateway.messages.acceptBatch(messages, caller: caller, idempotencyKey: key, now: time)
        let results = zip(body.messages, outcomes).enumerated().map { index, pair -> BatchItemJSON in
            if case .failure(let problems) = pair.0.body {
                let problem = Problem(.invalidRequest, "See errors for the fields to correct.", fields: problems.fields)
                return BatchItemJSON(index, problem, context)
            }
            switch pair.1 {
            case .accepted(let accepted): return BatchItemJSON(index, accepted)
            case .invalid(let invalid): return BatchItemJSON(index, ProblemMiddleware.problem(for: invalid), context)
            case .refused(let failure): return BatchItemJSON(index, ProblemMiddleware.problem(for: failure), context)
            }
        }
        let accepted = results.count { $0.message != nil }
        context.logger.debug("messages accepted", metadata: ["message.ids": "\(Self.ids(outcomes))"])
        return JSONResponse.make(
            BatchResultJSON(accepted: accepted, rejected: results.count - accepted, results: results), status: accepted > 0 ? .accepted : .ok)
    }
}

extension Routes {
    /// For the log, in which the lines about a message carry its id.
    private static func ids(_ outcomes: [BatchOutcome]) -> String {
        outcomes.compactMap { outcome in
            if case .accepted(let accepted) = outcome { accepted.message.id.description } else { nil }
        }.joined(separator: " ")
    }
}

/// What became of a batch (schema `BatchResult` of openapi.yaml).
private struct BatchResultJSON: Encodable {
    var accepted: Int
    var rejected: Int
    var results: [BatchItemJSON]
}

private struct BatchItemJSON: Encodable {
    var index: Int
    var status: String
    var replayed: Bool?
    var message: MessageJSON?
    var problem: Problem.Document?

    init(_ index: Int, _ accepted: Accepted) {
        self.index = index
        status = "accepted"
        replayed = accepted.replayed
        message = MessageJSON(accepted.message)
    }

    /// Places of meaning name the item; those of form have been read with their whole path.
    init(_ index: Int, _ problem: Problem, _ context: WebContext) {
        var problem = problem
        let item = "/messages/\(index)"
        for place in problem.fields.indices where !problem.fields[place].pointer.hasPrefix(item + "/") && problem.fields[place].pointer != item {
            problem.fields[place].pointer = item + problem.fields[place].pointer
        }
        self.index = index
        status = "rejected"
        self.problem = problem.document(requestID: context.requestID)
    }
}
