package import Foundation
import Synchronization

/// Resend's API as its documentation describes it, on loopback. Requests that the documentation does not allow are answered as Resend answers them
/// and written down in `complaints`, each with the page that says so.
///
///     let resend = try await FakeResend.start(key: "re_…")
///     resend.order(.hangAfterAccept)
///     resend.mails        // what people got: each e-mail once, however often it was asked for under one key
package final class FakeResend: Sendable {
    /// A request that came.
    package struct Call: Sendable {
        package let method: String
        package let path: String
        package let key: String?
        package let body: [UInt8]
        package let at: Date
        /// How it was answered; nil: not at all.
        package var status: Int?
    }

    /// An e-mail that went out.
    package struct Mail: Sendable {
        package let id: String
        package let from: String
        package let to: [String]
        package let subject: String
        package let text: String
        package let html: String
        /// The idempotency key it was sent under, and whether with others.
        package let key: String
        package let isOfBatch: Bool
        package var lastEvent: String
    }

    /// How the next request is answered.
    package enum Order: Sendable {
        case limited(retryAfter: Int)
        case quotaExceeded
        case concurrent
        case server(Int)
        /// 422 with this name, such as `invalid_from_address`.
        case refused(String)
        case unauthorized
        /// Sends the e-mail and never answers.
        case hangAfterAccept
        /// The same, and closes without a word.
        case closeAfterAccept
        case close
        /// 200 and something that is no JSON.
        case garbage
    }

    struct State {
        var calls: [Call] = []
        var complaints: [String] = []
        var orders: [Order] = []
        var mails: [Mail] = []
        var known: [String: (body: [UInt8], ids: [String], at: Date)] = [:]
        var window: [Date] = []
        var serial = 0
    }

    private static let page = "resend.com/docs/api-reference"
    private static let lifetime: TimeInterval = 86_400

    package let key: String
    private let perSecond: Int
    private let now: @Sendable () -> Date
    private let state = Mutex(State())
    private let server = Mutex<FakeAPI?>(nil)
    private let departures: AsyncStream<Mail>
    private let departure: AsyncStream<Mail>.Continuation

    /// - Parameters:
    ///   - perSecond: more requests than this in a second get 429.
    ///   - now: what limits and keys go by.
    package static func start(
        port: Int = 0, key: String = "re_FakeFake_123456789", perSecond: Int = 2, now: @escaping @Sendable () -> Date = { Date() }
    ) async throws -> FakeResend {
        let fake = FakeResend(key: key, perSecond: perSecond, now: now)
        let server = try await FakeAPI.start(port: port) { fake.answer($0) }
        fake.server.withLock { $0 = server }
        return fake
    }

    private init(key: String, perSecond: Int, now: @escaping @Sendable () -> Date) {
        self.key = key
        self.perSecond = perSecond
        self.now = now
        (departures, departure) = AsyncStream.makeStream()
    }

    package func stop() async {
        await server.withLock { $0 }?.stop()
        departure.finish()
    }

    /// What `alerts.resend.base_url` names.
    package var url: String { server.withLock { $0 }?.url ?? "" }

    package var calls: [Call] { state.withLock { $0.calls } }
    package var complaints: [String] { state.withLock { $0.complaints } }
    package var mails: [Mail] { state.withLock { $0.mails } }
    /// Every e-mail as it goes out; for one reader.
    package var stream: AsyncStream<Mail> { departures }
    /// Every byte of every request, for searches.
    package var everything: [[UInt8]] { state.withLock { $0.calls.map(\.body) } }

    /// The next requests are answered so, one each.
    package func order(_ orders: Order...) { state.withLock { $0.orders += orders } }

    /// What happened to the e-mails to this address: `delivered`, `bounced` …
    package func report(_ event: String, to address: String) {
        state.withLock { state in
            for index in state.mails.indices where state.mails[index].to.contains(address) { state.mails[index].lastEvent = event }
        }
    }

    // MARK: A request

    private func answer(_ request: FakeRequest) -> FakeAnswer {
        if request.method == "GET", request.path == "/control/mails" { return shown }
        let number = state.withLock { state in
            state.calls.append(
                Call(method: request.method, path: request.path, key: request.headers["idempotency-key"], body: request.body, at: now()))
            return state.calls.count - 1
        }
        let answer = decide(request)
        if case .bytes(let status, _, _) = answer { state.withLock { $0.calls[number].status = status } }
        return answer
    }

    private func decide(_ request: FakeRequest) -> FakeAnswer {
        // #introduction: a User-Agent is needed, and a bearer key.
        if request.headers["user-agent"]?.isEmpty ?? true {
            complain("introduction#user-agent: there is no User-Agent")
            return refuse(403, "validation_error", "error code: 1010")
        }
        guard let authorization = request.headers["authorization"] else {
            complain("introduction#authentication: there is no Authorization")
            return refuse(401, "missing_api_key", "Missing API key in the authorization header")
        }
        guard authorization == "Bearer \(key)" else { return refuse(403, "invalid_api_key", "API key is invalid") }
        let order = state.withLock { $0.orders.isEmpty ? nil : $0.orders.removeFirst() }
        switch order {
        case .limited(let seconds):
            return refuse(429, "rate_limit_exceeded", "Too many requests", ["retry-after": "\(seconds)", "ratelimit-remaining": "0"])
        case .quotaExceeded: return refuse(429, "daily_quota_exceeded", "You have reached your daily email sending quota")
        case .concurrent:
            return refuse(409, "concurrent_idempotent_requests", "Same idempotency key used while original request is still in progress")
        case .server(let status): return refuse(status, "application_error", "An unexpected error occurred")
        case .refused(let name): return refuse(422, name, "Invalid field")
        case .unauthorized: return refuse(401, "restricted_api_key", "This API key is restricted to only send emails")
        case .close: return .close
        case .garbage: return .json(200, Array("<html>".utf8))
        case .hangAfterAccept:
            _ = perform(request)
            return .hang
        case .closeAfterAccept:
            _ = perform(request)
            return .close
        case nil: break
        }
        if let wait = limit() {
            complain("rate-limit: more than \(perSecond) requests in a second")
            return refuse(429, "rate_limit_exceeded", "Too many requests", ["retry-after": "\(wait)", "ratelimit-remaining": "0"])
        }
        return perform(request)
    }

    private func perform(_ request: FakeRequest) -> FakeAnswer {
        switch (request.method, request.path) {
        case ("POST", "/emails"): return send(request)
        case ("POST", "/emails/batch"): return sendBatch(request)
        case ("GET", _) where request.path.hasPrefix("/emails/"):
            let id = String(request.path.dropFirst("/emails/".count))
            guard let mail = state.withLock({ $0.mails.first { $0.id == id } }) else { return refuse(404, "not_found", "Email not found") }
            return accept([
                "object": "email", "id": mail.id, "to": mail.to, "from": mail.from, "subject": mail.subject, "text": mail.text, "html": mail.html,
                "last_event": mail.lastEvent,
            ])
        default:
            complain("introduction: there is no \(request.method) \(request.path)")
            return refuse(405, "method_not_allowed", "Method is not allowed for the requested path")
        }
    }

    /// emails/send-email
    private func send(_ request: FakeRequest) -> FakeAnswer {
        guard let fields = request.object else { return refuse(400, "validation_error", "The body is no JSON object") }
        if let refusal = refusal(of: request) { return refusal }
        if let (name, complaint) = Self.complaint(fields) {
            // An e-mail without any field is how a key is tried out.
            if !fields.isEmpty { complain("emails/send-email: \(complaint)") }
            return refuse(422, name, complaint)
        }
        return once(request) { id in
            self.mail(fields, id, request, isOfBatch: false)
        } answer: {
            ["id": $0.first ?? ""]
        } count: {
            1
        }
    }

    /// emails/send-batch-emails: at most 100, all or none, no attachments and no dates.
    private func sendBatch(_ request: FakeRequest) -> FakeAnswer {
        guard let all = (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [[String: Any]] else {
            return refuse(400, "validation_error", "The body is no JSON array")
        }
        if let refusal = refusal(of: request) { return refusal }
        guard (1...100).contains(all.count) else {
            complain("emails/send-batch-emails: \(all.count) e-mails, not 1–100")
            return refuse(422, "validation_error", "Too many emails")
        }
        for fields in all {
            if let (name, complaint) = Self.complaint(fields) ?? (fields["scheduled_at"] != nil ? ("invalid_parameter", "scheduled_at") : nil) {
                complain("emails/send-batch-emails: \(complaint)")
                return refuse(422, name, complaint)
            }
        }
        var rest = all[...]
        return once(request) { id in
            self.mail(rest.popFirst() ?? [:], id, request, isOfBatch: true)
        } answer: { ids in
            ["data": ids.map { ["id": $0] }]
        } count: {
            all.count
        }
    }

    /// dashboard/emails/idempotency-keys: the same key with the same body within 24 hours sends nothing again.
    private func once(
        _ request: FakeRequest, _ make: (String) -> Mail, answer: ([String]) -> [String: Any], count: () -> Int
    ) -> FakeAnswer {
        let key = request.headers["idempotency-key"]
        let time = now()
        let outcome = state.withLock { state -> [String]? in
            if let key, let known = state.known[key], time.timeIntervalSince(known.at) < Self.lifetime {
                return known.body == request.body ? known.ids : nil
            }
            var ids: [String] = []
            for _ in 0..<count() {
                state.serial += 1
                let id = "49a3999c-0ce1-4ea6-ab68-" + String(format: "%012d", state.serial)
                state.mails.append(make(id))
                ids.append(id)
            }
            if let key { state.known[key] = (request.body, ids, time) }
            return ids
        }
        for mail in mails where outcome?.contains(mail.id) == true { departure.yield(mail) }
        guard let outcome else {
            complain("errors#invalid_idempotent_request: the key was used with another body")
            return refuse(409, "invalid_idempotent_request", "Same idempotency key used with a different request payload")
        }
        return accept(answer(outcome))
    }

    private func mail(_ fields: [String: Any], _ id: String, _ request: FakeRequest, isOfBatch: Bool) -> Mail {
        Mail(
            id: id, from: fields["from"] as? String ?? "", to: fields["to"] as? [String] ?? (fields["to"] as? String).map { [$0] } ?? [],
            subject: fields["subject"] as? String ?? "", text: fields["text"] as? String ?? "", html: fields["html"] as? String ?? "",
            key: request.headers["idempotency-key"] ?? "", isOfBatch: isOfBatch, lastEvent: "sent")
    }

    // MARK: What the documentation allows

    private func refusal(of request: FakeRequest) -> FakeAnswer? {
        if request.headers["content-type"]?.hasPrefix("application/json") != true { complain("introduction: the body is not application/json") }
        if let key = request.headers["idempotency-key"], !(1...256).contains(key.utf8.count) {
            complain("errors#invalid_idempotency_key: \(key.utf8.count) characters, not 1–256")
            return refuse(400, "invalid_idempotency_key", "The key must be between 1-256 chars")
        }
        return nil
    }

    private static let fields: Set<String> = [
        "from", "to", "subject", "bcc", "cc", "scheduled_at", "reply_to", "html", "text", "react", "headers", "attachments", "tags", "topic_id",
        "template",
    ]

    private static func complaint(_ fields: [String: Any]) -> (name: String, text: String)? {
        for name in ["from", "to", "subject"] where fields[name] == nil { return ("missing_required_field", "Missing `\(name)` field") }
        for field in fields.keys.sorted() where !Self.fields.contains(field) { return ("invalid_parameter", "there is no field \(field)") }
        guard let from = fields["from"] as? String, from.wholeMatch(of: /([^<>\n]+ <)?[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+>?/) != nil else {
            return ("invalid_from_address", "Invalid `from` field")
        }
        let to = fields["to"] as? [String] ?? (fields["to"] as? String).map { [$0] } ?? []
        guard (1...50).contains(to.count), to.allSatisfy({ $0.wholeMatch(of: /[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+/) != nil }) else {
            return ("validation_error", "Invalid `to` field")
        }
        guard let subject = fields["subject"] as? String, !subject.isEmpty, !subject.contains(where: \.isNewline) else {
            return ("validation_error", "Invalid `subject` field")
        }
        guard fields["html"] is String || fields["text"] is String else { return ("missing_required_field", "Missing `html` or `text` field") }
        return nil
    }

    private func limit() -> Int? {
        let time = now()
        return state.withLock { state in
            state.window = state.window.filter { time.timeIntervalSince($0) < 1 }
            guard state.window.count < perSecond else { return 1 }
            state.window.append(time)
            return nil
        }
    }

    private func complain(_ text: String) { state.withLock { $0.complaints.append("\(Self.page)/\(text)") } }

    private var headers: [String: String] {
        let left = state.withLock { perSecond - $0.window.count }
        return ["ratelimit-limit": "\(perSecond)", "ratelimit-remaining": "\(max(0, left))", "ratelimit-reset": "1"]
    }

    private func accept(_ object: [String: Any]) -> FakeAnswer { .json(200, object, headers: headers) }

    private func refuse(_ status: Int, _ name: String, _ message: String, _ more: [String: String] = [:]) -> FakeAnswer {
        .json(status, ["statusCode": status, "name": name, "message": message], headers: headers.merging(more) { $1 })
    }

    /// For people with curl.
    private var shown: FakeAnswer {
        .json(200, ["mails": mails.map { ["id": $0.id, "to": $0.to, "subject": $0.subject, "text": $0.text, "last_event": $0.lastEvent] }])
    }
}
