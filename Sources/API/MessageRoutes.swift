import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `POST /v1/messages`: 202 once the message is durable.
    func createMessage(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.send)
        let key = try idempotencyKey(request)
        let body = try await JSONBody.read(SendMessageBody.self, from: request, limit: maximumBody)
        let time = now()
        let accepted = try await gateway.messages.accept(try body.message(now: time), caller: caller, idempotencyKey: key, now: time)
        var response = JSONResponse.make(
            MessageJSON(accepted.message), status: .accepted, headers: [.location: "/v1/messages/\(accepted.message.id)"])
        if accepted.replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }

    /// `GET /v1/messages`: the delivery log, newest first.
    func listMessages(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        let page = try await gateway.messages.list(try filter(request), page: try page(request, of: Message.self), account: caller.account)
        return JSONResponse.make(ListJSON(page.data.map(MessageJSON.init), next: page.next?.description))
    }

    /// `GET /v1/messages/{id}`
    func getMessage(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        let id = try identifier(context, as: Message.self)
        guard let message = try await gateway.messages.find(id, account: caller.account) else { throw Self.noSuchMessage }
        return JSONResponse.make(MessageJSON(message))
    }

    /// `GET /v1/messages/{id}/events`: what happened, in order.
    func listMessageEvents(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        let id = try identifier(context, as: Message.self)
        guard let events = try await gateway.messages.events(id, account: caller.account) else { throw Self.noSuchMessage }
        return JSONResponse.make(EventListJSON(data: events.map(EventJSON.init)))
    }

    private func filter(_ request: Request) throws -> MessageFilter {
        let query = request.uri.queryParameters
        var filter = MessageFilter()
        var problems: [Problem.Field] = []
        if let text = query["status"] {
            filter.status = MessageStatus(rawValue: String(text))
            if filter.status == nil { problems.append(.init(pointer: "/status", code: "invalid_value", detail: "is no message status")) }
        }
        if let text = query["sender"] {
            filter.sender = try? Sender.ID(String(text))
            if filter.sender == nil { problems.append(.init(pointer: "/sender", code: "invalid_id", detail: "a sender id is snd_…")) }
        }
        if let text = query["to"] {
            filter.recipient = try? E164(String(text))
            if filter.recipient == nil { problems.append(.init(pointer: "/to", code: "invalid_number", detail: "is no E.164 number")) }
        }
        if let text = query["reference"] {
            filter.reference = try? Reference(String(text))
            if filter.reference == nil { problems.append(.init(pointer: "/reference", code: "invalid_value", detail: "has 1 to 255 characters")) }
        }
        guard problems.isEmpty else { throw Problem(.invalidRequest, "See errors for the query parameters to correct.", fields: problems) }
        return filter
    }

    private static var noSuchMessage: Problem { Problem(.notFound, "There is no such message in this account.") }
}
