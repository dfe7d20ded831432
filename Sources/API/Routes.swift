package import Domain
package import Foundation
package import Hummingbird
package import Web

/// The REST API. Every path is listed here; what a path does stands in the file of its noun.
package struct Routes: Sendable {
    let gateway: Gateway
    /// Most bytes of one request's body.
    let maximumBody: Int
    let now: @Sendable () -> Date

    package init(gateway: Gateway, maximumBody: Int, now: @escaping @Sendable () -> Date = { Date() }) {
        self.gateway = gateway
        self.maximumBody = maximumBody
        self.now = now
    }

    /// Adds all routes. `readiness` names what is missing, as codes; an empty list is ready.
    package func add(to router: Hummingbird.Router<WebContext>, readiness: @escaping @Sendable () async -> [String]) {
        router.add(middleware: ProblemMiddleware())
        addServiceRoutes(to: router, readiness: readiness)

        let v1 = router.group("v1").add(middleware: Authentication(gateway: gateway, now: now))
        v1.post("messages", use: createMessage)
        v1.get("messages", use: listMessages)
        v1.get("messages/:id", use: getMessage)
        v1.get("messages/:id/events", use: listMessageEvents)
        v1.post("senders", use: createSender)
        v1.get("senders", use: listSenders)
        v1.get("senders/:id", use: getSender)
        v1.delete("senders/:id", use: removeSender)
        v1.post("senders/:id/pairing", use: startPairing)
        v1.get("senders/:id/pairing", use: getPairing)
        v1.post("account/close", use: closeAccount)
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
    func page<ID: Identified>(_ request: Request, of type: ID.Type) throws -> PageRequest<TypedID<ID>> {
        var problems: [Problem.Field] = []
        var limit = 50
        if let text = request.uri.queryParameters["limit"] {
            if let number = Int(text), (1...200).contains(number) {
                limit = number
            } else {
                problems.append(.init(pointer: "/limit", code: "out_of_range", detail: "is a whole number from 1 to 200"))
            }
        }
        var after: TypedID<ID>?
        if let cursor = request.uri.queryParameters["cursor"] {
            after = try? TypedID<ID>(String(cursor))
            if after == nil { problems.append(.init(pointer: "/cursor", code: "invalid_id", detail: "is the next_cursor of the page before")) }
        }
        guard problems.isEmpty else { throw Problem(.invalidRequest, "See errors for the query parameters to correct.", fields: problems) }
        return PageRequest(limit: limit, after: after)
    }
}
