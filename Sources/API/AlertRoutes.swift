import Domain
import Foundation
import Hummingbird
import Web

extension Routes {
    /// `GET /v1/alerts/history`: what was wrong or has happened, newest first.
    func listAlerts(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        var query = QueryFields(request)
        let filter = AlertFilter(
            kinds: query.read("kind", "invalid_value", "names kinds of alerts, with commas between them") { text in
                let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
                let kinds = names.compactMap(AlertKind.init)
                return kinds.count == names.count ? kinds : nil
            },
            severity: query.read("severity", "invalid_value", "is info, warning or critical") { AlertSeverity(rawValue: $0) },
            isOpen: query.read("status", "invalid_value", "is open or cleared") { ["open": true, "cleared": false][$0] })
        let wanted = page(&query, of: Alert.self)
        try query.finish()
        let page = try await gateway.alerts.history(account: caller.account, filter, page: wanted, now: now())
        return JSONResponse.make(ListJSON(page.data.map { AlertJSON($0) }, next: page.next?.description))
    }

    /// `GET /v1/alerts/history/{id}`
    func getAlert(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        return try answer(try await gateway.alerts.alert(try identifier(context), account: caller.account, now: now()))
    }

    /// `POST /v1/alerts/history/{id}/acknowledge`: somebody is on it. Twice is the same as once.
    func acknowledgeAlert(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        try await JSONBody.readNothing(from: request, limit: maximumBody)
        let actor = try actor(caller)
        return try answer(try await gateway.alerts.acknowledge(try identifier(context), account: caller.account, by: actor, now: now()))
    }

    /// `POST /v1/alerts/history/{id}/silence`: nothing more is told of it for a while.
    func silenceAlert(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        _ = try idempotencyKey(request)
        let body = try await JSONBody.read(SilenceBody.self, from: request, limit: maximumBody)
        let time = now()
        let actor = try actor(caller)
        return try answer(
            try await gateway.alerts.silence(try identifier(context), account: caller.account, until: body.end(time), by: actor, now: time))
    }

    /// `GET /v1/alerts/rules`: one for each kind.
    func listAlertRules(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        var query = QueryFields(request)
        try query.finish()
        return JSONResponse.make(AlertRuleListJSON(data: try await gateway.alerts.rules(caller.account).map(AlertRuleJSON.init)))
    }

    /// `GET /v1/alerts/rules/{kind}`
    func getAlertRule(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .read)
        let kind = try alertKind(context)
        guard let rule = try await gateway.alerts.rules(caller.account).first(where: { $0.kind == kind }) else { throw Self.noSuchKind }
        return JSONResponse.make(AlertRuleJSON(rule))
    }

    /// `PATCH /v1/alerts/rules/{kind}`: members that are absent stay as they are.
    func updateAlertRule(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        let kind = try alertKind(context)
        let body = try await JSONBody.read(AlertRuleBody.self, from: request, limit: maximumBody)
        return JSONResponse.make(AlertRuleJSON(try await gateway.alerts.setRule(kind, account: caller.account, body.fields, now: now())))
    }

    /// `DELETE /v1/alerts/rules/{kind}`: back to the defaults, which is the answer.
    func resetAlertRule(_ request: Request, _ context: WebContext) async throws -> Response {
        let caller = try await alertCaller(context, .manage)
        return JSONResponse.make(AlertRuleJSON(try await gateway.alerts.resetRule(try alertKind(context), account: caller.account)))
    }

    /// The caller, if it may do this. Alerts are about everything in an account, so a test key sees and changes them only where nothing is live.
    func alertCaller(_ context: WebContext, _ scope: APIKey.Scope) async throws -> Caller {
        let caller = try context.authenticated()
        try caller.require(scope)
        guard caller.isTest else { return caller }
        let hasLive = try await gateway.senders.list(caller.account).contains { !$0.isTest && $0.state != .removed }
        if hasLive { try caller.requireLive("use the alerts of an account that has a live sender") }
        return caller
    }

    private func actor(_ caller: Caller) throws -> Alert.Actor {
        guard let key = caller.key else { throw Problem(.missingKey, "Send Authorization: Bearer and an API key.") }
        return .key(key)
    }

    private func alertKind(_ context: WebContext) throws -> AlertKind {
        guard let kind = AlertKind(rawValue: context.parameters.get("kind") ?? "") else { throw Self.noSuchKind }
        return kind
    }

    private func answer(_ alert: Alert?) throws -> Response {
        guard let alert else { throw Problem(.notFound, "There is no such alert in this account, or no more.") }
        return JSONResponse.make(AlertJSON(alert))
    }

    private static var noSuchKind: Problem { Problem(.notFound, "There is no such kind of alert.") }
}

private struct AlertRuleListJSON: Encodable {
    var data: [AlertRuleJSON]
}
