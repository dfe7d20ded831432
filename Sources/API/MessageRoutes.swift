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
        let accepted = try await gateway.messages.accept(
            try body.message(caller, now: time), caller: caller, idempotencyKey: key, now: time)
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
        return JSONResponse.make(ListJSON(page.data.map { MessageJSON($0) }, next: page.next?.description))
    }

    /// `GET /v1/messages/{id}`
    func getMessage(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        let message = try await message(context, caller)
        let attempts = try await gateway.messages.attempts(message.id, account: caller.account)
        return JSONResponse.make(MessageJSON(message, attempts: attempts ?? []))
    }

    /// `GET /v1/messages/{id}/events`: what happened, in order.
    func listMessageEvents(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        let id = try await message(context, caller).id
        guard let events = try await gateway.messages.events(id, account: caller.account) else { throw Self.noSuchMessage }
        return JSONResponse.make(EventListJSON(data: events.map(EventJSON.init)))
    }

    /// `POST /v1/messages/{id}/cancel`: 200 means that the recipient will not get it. Twice is the same as once.
    func cancelMessage(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.send)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        let message = try await message(context, caller)
        switch try await gateway.messages.cancel(message.id, account: caller.account, now: now()) {
        case .canceled(let message): return JSONResponse.make(MessageJSON(message))
        case .refused(let message):
            let isSettled = message.status.isSettled
            throw Problem.conflict(
                .messageNotCancelable, isSettled ? "The message is settled already." : "Its bytes may have left for WhatsApp already.",
                state: message.status.rawValue)
        case nil: throw Self.noSuchMessage
        }
    }

    /// The message named in the path, of the caller's account. For a test key a live message is not there.
    private func message(_ context: WebContext, _ caller: Caller) async throws -> MessageView {
        let id = try identifier(context, as: Message.self)
        guard let message = try await gateway.messages.find(id, account: caller.account), caller.sees(isTest: message.isTest) else {
            throw Self.noSuchMessage
        }
        return message
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
            createdBefore: query.read("created_before", "not_a_time", "is an RFC 3339 time", Timestamp.parse),
            isTest: caller.isTest ? true : nil)
    }

    private static var noSuchMessage: Problem { Problem(.notFound, "There is no such message in this account.") }
}
