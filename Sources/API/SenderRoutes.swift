import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `POST /v1/senders`: a new sender, not paired yet. A test key makes a test sender.
    func createSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let key = try idempotencyKey(request)
        let body = try await JSONBody.read(CreateSenderBody.self, from: request, limit: maximumBody)
        let (sender, replayed) = try await gateway.senders.create(
            account: caller.account, label: body.label ?? "Sender", test: caller.isTest, idempotencyKey: key, now: now())
        var response = JSONResponse.make(SenderJSON(sender), status: .created, headers: [.location: "/v1/senders/\(sender.id)"])
        if replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }

    /// `GET /v1/senders`
    func listSenders(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        var query = QueryFields(request)
        let page = page(&query, of: Sender.self)
        try query.finish()
        let all = try await gateway.senders.list(caller.account).reversed().drop { sender in page.after.map { sender.id >= $0 } ?? false }
        let data = all.prefix(page.limit).map { SenderJSON($0) }
        return JSONResponse.make(ListJSON(data, next: all.count > page.limit ? data.last?.id : nil))
    }

    /// `GET /v1/senders/{id}`
    func getSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        return JSONResponse.make(SenderJSON(try await sender(context, caller)))
    }

    /// `DELETE /v1/senders/{id}`: the node that holds the sender unlinks it from its phone, then its credentials are gone.
    func removeSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let sender = try await sender(context, caller)
        guard let state = try await gateway.senders.remove(sender.id, account: caller.account, now: now()) else { throw Self.noSuchSender }
        return JSONResponse.make(SenderJSON(sender, state: state), status: .accepted)
    }

    /// The sender named in the path, of the caller's account.
    func sender(_ context: WebContext, _ caller: Caller) async throws -> Sender {
        guard let sender = try await gateway.senders.get(try identifier(context), account: caller.account) else {
            throw Self.noSuchSender
        }
        return sender
    }

    static var noSuchSender: Problem { Problem(.notFound, "There is no such sender in this account.") }
}

/// The body of `POST /v1/senders`.
private struct CreateSenderBody: Decodable, Sendable {
    var label: String?

    init(from decoder: any Decoder) throws {
        var fields = try StrictFields(decoder)
        label = fields.optional("label")
        if let label, !(1...80).contains(label.unicodeScalars.count) || label.unicodeScalars.contains(where: { $0.value < 0x20 }) {
            fields.note("label", "invalid_value", "has 1 to 80 characters, none of them a control character")
        }
        try fields.finish()
    }
}

/// A sender as callers see it (schema `Sender` of openapi.yaml).
struct SenderJSON: Encodable {
    struct State: Encodable {
        var code: String
        var detail: String
        var wayOut: String

        enum CodingKeys: String, CodingKey {
            case code, detail
            case wayOut = "way_out"
        }
    }

    var id: String
    var label: String
    var number: String?
    var test: Bool
    var state: State
    var createdAt: Date
    var pairedAt: Date?

    enum CodingKeys: String, CodingKey {
        case id, label, number, test, state
        case createdAt = "created_at"
        case pairedAt = "paired_at"
    }

    /// `state` overrides the sender's own, for an answer about a change that was just made.
    init(_ sender: Sender, state changed: SenderState? = nil) {
        let current = changed ?? sender.state
        id = sender.id.description
        label = sender.label
        number = sender.number?.text
        test = sender.isTest
        state = State(code: current.rawValue, detail: current.sentence, wayOut: current.wayOut)
        createdAt = sender.createdAt
        pairedAt = sender.pairedAt
    }
}
