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
        let accepted: Accepted
        do {
            let message = try body.message(caller, now: time)
            accepted = try await gateway.messages.accept(message, caller: caller, idempotencyKey: key, now: time)
        } catch let invalid as InvalidMessage {
            // A repeated request is answered as it first was, though its expires_at has come near meanwhile.
            guard let key, let message = try body.messageInItsTime(caller, now: time),
                let earlier = try await gateway.messages.repeated(message, caller: caller, idempotencyKey: key, now: time)
            else { throw invalid }
            accepted = earlier
        }
        var response = JSONResponse.make(
            MessageJSON(accepted.message), status: .accepted, headers: [.location: "/v1/messages/\(accepted.message.id)"])
        if accepted.replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }

    /// `GET /v1/messages`: the delivery log, newest first.
    func listMessages(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        var query = QueryFields(request)
        let filter = filter(&query, caller)
        let wanted = page(&query, of: Message.self)
        try query.finish()
        let page = try await gateway.messages.list(filter, page: wanted, account: caller.account)
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

    private func filter(_ query: inout QueryFields, _ caller: Caller) -> MessageFilter {
        MessageFilter(
            status: query.read("status", "invalid_value", "is no message status") { MessageStatus(rawValue: $0) },
            sender: query.read("sender", "invalid_id", "a sender id is snd_…") { try Sender.ID($0) },
            recipient: query.read("to", "invalid_number", "is no E.164 number; a plus sign in a query is %2B") {
                try E164($0, defaultCallingCode: caller.callingCode)
            },
            reference: query.read("reference", "invalid_value", "has 1 to 255 characters") { try Reference($0) },
            createdFrom: query.read("created_from", "not_a_time", "is an RFC 3339 time", Timestamp.parse),
            createdBefore: query.read("created_before", "not_a_time", "is an RFC 3339 time", Timestamp.parse))
    }

    private static var noSuchMessage: Problem { Problem(.notFound, "There is no such message in this account.") }
}
