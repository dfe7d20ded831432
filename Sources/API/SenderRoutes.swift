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
        var response = JSONResponse.make(SenderJSON(sender, now: now()), status: .created, headers: [.location: "/v1/senders/\(sender.id)"])
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
        let seen = try await gateway.senders.list(caller.account).filter { caller.sees(isTest: $0.isTest) }
        let all = seen.reversed().drop { sender in page.after.map { sender.id >= $0 } ?? false }
        let snapshot = try await gateway.routing.snapshot(of: caller.account)
        let data = all.prefix(page.limit).map { shown($0, in: snapshot) }
        return JSONResponse.make(ListJSON(data, next: all.count > page.limit ? data.last?.id : nil))
    }

    /// `GET /v1/senders/{id}`
    func getSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        return try await answer(try await sender(context, caller))
    }

    /// `PATCH /v1/senders/{id}`: its label, its limits, or both.
    func updateSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let body = try await JSONBody.read(UpdateSenderBody.self, from: request, limit: maximumBody)
        let id = try await sender(context, caller).id
        let changed = try await gateway.senders.update(id, account: caller.account, label: body.label, limits: body.limits, now: now())
        guard let changed else { throw Self.noSuchSender }
        return try await answer(changed)
    }

    /// `POST /v1/senders/{id}/resume`: a sender that was stopped may connect again. Twice is the same as once.
    func resumeSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        let sender = try await sender(context, caller)
        guard let state = try await gateway.senders.resume(sender.id, account: caller.account, now: now()) else { throw Self.noSuchSender }
        guard state == .connecting || state == .ready else {
            throw Problem.conflict(.senderNotResumable, "Only a sender that is parked or replaced can be resumed.", state: state.rawValue)
        }
        return JSONResponse.make(SenderJSON(sender, state: state, now: now()), status: .accepted)
    }

    /// `DELETE /v1/senders/{id}`: the node that holds the sender unlinks it from its phone, then its credentials are gone.
    func removeSender(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let sender = try await sender(context, caller)
        guard let state = try await gateway.senders.remove(sender.id, account: caller.account, now: now()) else { throw Self.noSuchSender }
        return JSONResponse.make(SenderJSON(sender, state: state, now: now()), status: .accepted)
    }

    /// The sender named in the path, of the caller's account. For a test key a live sender is not there.
    func sender(_ context: WebContext, _ caller: Caller) async throws -> Sender {
        guard let sender = try await gateway.senders.get(try identifier(context), account: caller.account), caller.sees(isTest: sender.isTest) else {
            throw Self.noSuchSender
        }
        return sender
    }

    private func answer(_ sender: Sender) async throws -> Response {
        JSONResponse.make(shown(sender, in: try await gateway.routing.snapshot(of: sender.account)))
    }

    /// With what it has sent, as the router knows it: at most a second old.
    private func shown(_ sender: Sender, in snapshot: RoutingSnapshot) -> SenderJSON {
        let moment = now()
        return SenderJSON(sender, usage: snapshot.candidate(sender.id).map { UsageJSON($0, now: moment) }, now: moment)
    }

    static var noSuchSender: Problem { Problem(.notFound, "There is no such sender in this account.") }
}
