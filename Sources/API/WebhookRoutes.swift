import Domain
import Foundation
import HTTPTypes
import Hummingbird
import Web

extension Routes {
    /// `POST /v1/webhook-endpoints`: a new endpoint, which is asked whether it wants this before anything else is sent there. A test key makes a test
    /// endpoint.
    func createWebhookEndpoint(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let key = try idempotencyKey(request)
        let body = try await JSONBody.read(WebhookEndpointBody.self, from: request, limit: maximumBody)
        try body.refuse([("enabled", body.isEnabled != nil)])
        if body.test == false { try caller.requireLive("make an endpoint for live events") }
        let made = try await gateway.webhooks.create(
            account: caller.account, body.fields, signing: body.signing ?? .symmetric, test: body.test ?? caller.isTest, idempotencyKey: key,
            now: now())
        guard let made else { throw Self.noSuchEndpoint }
        return answer(made, status: .created, headers: [.location: "/v1/webhook-endpoints/\(made.endpoint.id)"])
    }

    /// `GET /v1/webhook-endpoints`
    func listWebhookEndpoints(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        var query = QueryFields(request)
        let page = page(&query, of: WebhookEndpoint.self)
        try query.finish()
        let all = try await gateway.webhooks.list(caller.account).filter { caller.sees(isTest: $0.isTest) }
            .drop { endpoint in page.after.map { endpoint.id >= $0 } ?? false }
        let data = all.prefix(page.limit).map { WebhookEndpointJSON($0) }
        return JSONResponse.make(ListJSON(data, next: all.count > page.limit ? data.last?.id : nil))
    }

    /// `GET /v1/webhook-endpoints/{id}`
    func getWebhookEndpoint(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        return JSONResponse.make(WebhookEndpointJSON(try await endpoint(try identifier(context), caller)))
    }

    /// `PATCH /v1/webhook-endpoints/{id}`
    func updateWebhookEndpoint(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let body = try await JSONBody.read(WebhookEndpointBody.self, from: request, limit: maximumBody)
        try body.refuse([("signing", body.signing != nil), ("test", body.test != nil)])
        let id = try await endpoint(try identifier(context), caller).id
        let changed = try await gateway.webhooks.update(id, account: caller.account, body.fields, isEnabled: body.isEnabled, now: now())
        guard let changed else { throw Self.noSuchEndpoint }
        return JSONResponse.make(WebhookEndpointJSON(changed))
    }

    /// `DELETE /v1/webhook-endpoints/{id}`
    func deleteWebhookEndpoint(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let id = try await endpoint(try identifier(context), caller).id
        guard try await gateway.webhooks.delete(id, account: caller.account) else { throw Self.noSuchEndpoint }
        return Response(status: .noContent)
    }

    /// `GET /v1/webhook-endpoints/{id}/deliveries`: what became of each event, newest first.
    func listWebhookDeliveries(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.read)
        var query = QueryFields(request)
        let wanted = page(&query, of: Event.self)
        let state = query.read("status", "invalid_value", "is pending, delivered or dead") { WebhookDelivery.State(rawValue: $0) }
        try query.finish()
        let id = try await endpoint(try identifier(context), caller).id
        let page = try await gateway.webhooks.deliveries(id, account: caller.account, state: state, page: wanted, now: now())
        return JSONResponse.make(ListJSON(page.data.map { WebhookDeliveryJSON($0) }, next: page.next?.description))
    }

    /// `POST /v1/webhook-endpoints/{id}/test`: sends something harmless, once in ten seconds.
    func testWebhookEndpoint(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let key = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        let id = try await endpoint(try identifier(context), caller).id
        switch try await gateway.webhooks.test(id, account: caller.account, idempotencyKey: key, now: now()) {
        case .queued(let event, let replayed):
            var response = JSONResponse.make(QueuedEventJSON(event: event.description), status: .accepted)
            if replayed { response.headers[.idempotentReplayed] = "true" }
            return response
        case .tooSoon(let wait):
            throw Problem.limited("An endpoint is tested once in ten seconds.", limit: "webhook_test", after: max(1, Int(wait.rounded(.up))))
        case .disabled: throw Self.disabledEndpoint
        case nil: throw Self.noSuchEndpoint
        }
    }

    /// `POST /v1/webhook-endpoints/{id}/rotate-secret`: the old secret signs beside the new one for a while.
    func rotateWebhookSecret(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try context.authenticated()
        try caller.require(.manage)
        let key = try idempotencyKey(request)
        let bytes = try await JSONBody.bytes(of: request, limit: maximumBody)
        let body = bytes.isEmpty ? nil : try JSONBody.decode(RotateSecretBody.self, from: bytes)
        let id = try await endpoint(try identifier(context), caller).id
        let made = try await gateway.webhooks.rotate(
            id, account: caller.account, overlap: body?.overlap.map(TimeInterval.init) ?? Webhooks.longestOverlap, idempotencyKey: key, now: now())
        guard let made else { throw Self.noSuchEndpoint }
        return answer(made, status: .ok)
    }

    private func answer(_ made: Webhooks.Made, status: HTTPResponse.Status, headers: HTTPFields = [:]) -> Response {
        var response = JSONResponse.make(WebhookEndpointJSON(made), status: status, headers: headers)
        if made.replayed { response.headers[.idempotentReplayed] = "true" }
        return response
    }

    /// For a test key an endpoint for live events is not there.
    func endpoint(_ id: WebhookEndpoint.ID, _ caller: Caller) async throws -> WebhookEndpoint {
        guard let endpoint = try await gateway.webhooks.get(id, account: caller.account), caller.sees(isTest: endpoint.isTest) else {
            throw Self.noSuchEndpoint
        }
        return endpoint
    }

    static var noSuchEndpoint: Problem { Problem(.notFound, "There is no such webhook endpoint in this account.") }

    static var disabledEndpoint: Problem {
        .conflict(.webhookEndpointDisabled, "PATCH it with enabled true first.", state: WebhookEndpoint.State.disabled.rawValue)
    }
}
