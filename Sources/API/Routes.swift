package import Domain
package import Foundation
import HTTPTypes
package import Hummingbird
package import Web

/// The REST API. Every path is listed here; what a path does stands in the file of its noun.
package struct Routes: Sendable {
    let gateway: Gateway
    /// Most bytes of one request's body.
    let maximumBody: Int
    let limits: RequestLimits
    let behindProxy: Bool
    let alerts: AlertSetup
    let now: @Sendable () -> Date

    /// - Parameter behindProxy: see `Authentication`.
    package init(
        gateway: Gateway, maximumBody: Int, limits: RequestLimits = RequestLimits(), behindProxy: Bool = false, alerts: AlertSetup = AlertSetup(),
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.gateway = gateway
        self.maximumBody = maximumBody
        self.limits = limits
        self.behindProxy = behindProxy
        self.alerts = alerts
        self.now = now
    }

    /// Adds all routes. `readiness` names what is missing, as codes; an empty list is ready.
    package func add(to router: Hummingbird.Router<WebContext>, readiness: @escaping @Sendable () async -> [String]) {
        router.add(middleware: ProblemMiddleware())
        addServiceRoutes(to: router, readiness: readiness)
        addVerificationRoutes(to: router)

        let v1 = router.group("v1")
            .add(middleware: Authentication(gateway: gateway, behindProxy: behindProxy, now: now))
            .add(middleware: RequestLimiter(limits, now: now))
        v1.path("messages", get: listMessages, post: createMessage)
        v1.path("messages/batch", post: createMessages)
        v1.path("messages/explain", post: explainMessage)
        v1.path("messages/:id", get: getMessage)
        v1.path("messages/:id/events", get: listMessageEvents)
        v1.path("messages/:id/cancel", post: cancelMessage)
        v1.path("senders", get: listSenders, post: createSender)
        v1.path("senders/:id", get: getSender, patch: updateSender, delete: removeSender)
        v1.path("senders/:id/resume", post: resumeSender)
        v1.path("senders/:id/pairing", get: getPairing, post: startPairing)
        v1.path("pools", get: listPools, post: createPool)
        v1.path("pools/:id", get: getPool, patch: updatePool, delete: deletePool)
        v1.path("webhook-endpoints", get: listWebhookEndpoints, post: createWebhookEndpoint)
        v1.path("webhook-endpoints/:id", get: getWebhookEndpoint, patch: updateWebhookEndpoint, delete: deleteWebhookEndpoint)
        v1.path("webhook-endpoints/:id/deliveries", get: listWebhookDeliveries)
        v1.path("webhook-endpoints/:id/test", post: testWebhookEndpoint)
        v1.path("webhook-endpoints/:id/rotate-secret", post: rotateWebhookSecret)
        v1.path("events", get: listEvents)
        v1.path("events/replay", post: replayEvents)
        v1.path("alerts/history", get: listAlerts)
        v1.path("alerts/history/:id", get: getAlert)
        v1.path("alerts/history/:id/acknowledge", post: acknowledgeAlert)
        v1.path("alerts/history/:id/silence", post: silenceAlert)
        v1.path("alerts/rules", get: listAlertRules)
        v1.path("alerts/rules/:kind", get: getAlertRule, patch: updateAlertRule, delete: resetAlertRule)
        v1.path("alerts/channels", get: listAlertChannels, post: createAlertChannel)
        v1.path("alerts/channels/:id", get: getAlertChannel, patch: updateAlertChannel, delete: deleteAlertChannel)
        v1.path("alerts/channels/:id/mute", post: muteAlertChannel)
        v1.path("alerts/channels/:id/verification", post: verifyAlertChannel)
        v1.path("alerts/channels/:id/test", post: testAlertChannel)
        v1.path("alerts/channels/:id/notices", get: listAlertNotices)
        v1.path("alerts/telegram-link", post: startTelegramLink)
        v1.path("alerts/telegram-link/:id", get: getTelegramLink, delete: cancelTelegramLink)
        v1.path("alerts/telegram-link/:id/confirm", post: confirmTelegramLink)
        v1.path("account/close", post: closeAccount)
    }
}

extension RouterMethods<WebContext> {
    package typealias Handler = @Sendable (Request, WebContext) async throws -> Response

    /// Adds what a path does. HEAD answers like GET without the body; any other method gets 405 and the list of those it does.
    package func path(_ path: RouterPath, get: Handler? = nil, post: Handler? = nil, patch: Handler? = nil, delete: Handler? = nil) {
        var head: Handler?
        if let get { head = { request, context in try await get(request, context).createHeadResponse() } }
        let methods: [(HTTPRequest.Method, Handler?)] = [(.get, get), (.head, head), (.post, post), (.patch, patch), (.delete, delete)]
        let allowed = methods.filter { $0.1 != nil }.map(\.0.rawValue).joined(separator: ", ")
        let refuse: Handler = { _, _ in
            throw Problem(.methodNotAllowed, "This path does \(allowed); see /openapi.yaml.", headers: [.allow: allowed])
        }
        let others = [HTTPRequest.Method.put, .options, .trace, HTTPRequest.Method("QUERY")].compactMap { $0 }
        for (method, handler) in methods + others.map({ ($0, nil) }) { on(path, method: method, use: handler ?? refuse) }
    }
}

extension Routes {
    /// The id in the path. A text that is no such id answers like one that does not exist.
    func identifier<Subject: Identified>(_ context: WebContext, as type: Subject.Type = Subject.self) throws -> TypedID<Subject> {
        try TypedID<Subject>(context.parameters.get("id") ?? "")
    }

    /// The caller's name for this request, if there is one.
    func idempotencyKey(_ request: Request) throws -> IdempotencyKey? {
        guard let text = request.headers[.idempotencyKey] else { return nil }
        do { return try IdempotencyKey(text) } catch {
            throw Problem(.invalidIdempotencyKey, "Idempotency-Key has 1 to 255 printable ASCII characters.")
        }
    }

    /// `limit` and `cursor` of a list.
    func page<Subject: Identified>(_ query: inout QueryFields, of type: Subject.Type) -> PageRequest<TypedID<Subject>> {
        let limit = query.read("limit", "out_of_range", "is a whole number from 1 to 200") { text in
            Int(text).flatMap { (1...200).contains($0) ? $0 : nil }
        }
        let after = query.read("cursor", "invalid_id", "is the next_cursor of the page before") { try TypedID<Subject>($0) }
        return PageRequest(limit: limit ?? 50, after: after)
    }
}
