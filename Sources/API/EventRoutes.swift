import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `GET /v1/events`: what webhooks push, pulled. Oldest first; each page says where to go on, also when it is empty.
    func listEvents(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        var query = QueryFields(request)
        let limit = query.read("limit", "out_of_range", "is a whole number from 1 to 200") { text in
            Int(text).flatMap { (1...200).contains($0) ? $0 : nil }
        }
        let after = query.read("after", "invalid_value", "is the next_cursor of the page before") { $0 }
        let types = query.read("types", "invalid_value", "names types of events, with commas between them") { text -> [EventType]? in
            let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            let types = names.compactMap(EventType.init)
            return types.count == names.count ? types : nil
        }
        try query.finish()
        do {
            let page = try await gateway.events.pull(
                account: caller.account, after: after, EventLog.Filter(types: types, isTest: caller.isTest ? true : nil), limit: limit ?? 50,
                now: now())
            return JSONResponse.make(PulledEventsJSON(data: page.events, hasMore: page.hasMore, nextCursor: page.next))
        } catch is EventLog.InvalidCursor {
            throw Problem(
                .invalidRequest, "See errors for the query parameters to correct.",
                fields: [.init(pointer: "/after", code: "invalid_value", detail: "is the next_cursor of the page before")])
        }
    }

    /// `POST /v1/events/replay`: pushes events again, under the ids that they had.
    func replayEvents(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let key = try idempotencyKey(request)
        let body = try await JSONBody.read(ReplayBody.self, from: request, limit: maximumBody)
        guard let selection = body.selection else { throw Problem(.internalError, "Quote the request id to the operator.") }
        if let id = body.endpoint {
            let endpoint = try await endpoint(id, caller)
            guard endpoint.state == .enabled else {
                throw Problem.conflict(.webhookEndpointDisabled, "Only an enabled endpoint gets events.", state: endpoint.state.rawValue)
            }
        }
        let replay = try await gateway.events.replay(
            account: caller.account, selection, EventLog.Filter(types: body.types, isTest: caller.isTest ? true : nil), endpoint: body.endpoint,
            idempotencyKey: key, now: now())
        var response = JSONResponse.make(ReplayJSON(replay), status: .accepted)
        if replay.replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }
}
