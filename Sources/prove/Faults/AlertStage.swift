import Domain
import Fakes
import Foundation
import OutboundHTTP
import Postgres
import Proof
import Synchronization

/// A world of gateways that tell their alerts to a Telegram and a Resend of this machine.
final class AlertStage: Sendable {
    /// An account with a live key of its own.
    struct Customer: Sendable {
        let id: String
        let key: String
    }

    let world: World
    let telegram: FakeTelegram
    let resend: FakeResend
    /// Of links that were made.
    private let tokens = Mutex<[String]>([])
    /// Looks at a link that found none although it was there before.
    private let unseen = Counter()

    /// Runs `body` in a world of one gateway.
    /// - Parameter webhookSecret: Telegram posts its updates, with this secret; nil: the gateway asks for them.
    static func with(
        webhookSecret: String? = nil, _ body: @escaping @Sendable (AlertStage) async throws -> ProcessFault.Seen
    ) async throws -> ProcessFault.Seen {
        let telegram = try await FakeTelegram.start()
        let resend = try await FakeResend.start()
        let folder = "/tmp/prove-secrets-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        func file(_ name: String, _ text: String) -> String {
            FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
            return "\(folder)/\(name)"
        }
        var settings = [
            "GATEWAY_ALERTS_INCLUDE_TEST": "true", "GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": file("token", telegram.token),
            "GATEWAY_ALERTS_TELEGRAM_BASE_URL": telegram.url, "GATEWAY_ALERTS_RESEND_API_KEY_FILE": file("key", resend.key),
            "GATEWAY_ALERTS_RESEND_BASE_URL": resend.url, "GATEWAY_ALERTS_RESEND_FROM": "Gateway <alerts@example.com>",
            "GATEWAY_LOG_LEVEL": "debug",
        ]
        if let webhookSecret {
            settings["GATEWAY_ALERTS_TELEGRAM_MODE"] = "webhook"
            settings["GATEWAY_ALERTS_TELEGRAM_WEBHOOK_SECRET_FILE"] = file("secret", webhookSecret)
        }
        let outcome: Result<ProcessFault.Seen, any Error>
        do {
            outcome = .success(
                try await ProcessFault.inWorld(nodes: 1, senders: 1, settings: settings) { world in
                    let stage = AlertStage(world, telegram, resend)
                    var seen = try await body(stage)
                    let complaints = telegram.complaints + resend.complaints
                    if let first = complaints.first {
                        seen.isOK = false
                        seen.what += "; against the documentation: \(first)"
                    }
                    if stage.unseen.count > 0 { seen.what += "; \(stage.unseen.count) looks at a link being taken found none" }
                    let secrets = [telegram.token, resend.key, "@example.com", webhookSecret ?? telegram.token] + stage.tokens.withLock { $0 }
                    let log = try String(contentsOfFile: world.nodes[0].logFile, encoding: .utf8)
                    if secrets.contains(where: log.contains) {
                        seen.isOK = false
                        seen.what += "; the log has a secret"
                    }
                    return seen
                })
        } catch { outcome = .failure(error) }
        await telegram.stop()
        await resend.stop()
        try FileManager.default.removeItem(atPath: folder)
        return try outcome.get()
    }

    private init(_ world: World, _ telegram: FakeTelegram, _ resend: FakeResend) {
        self.world = world
        self.telegram = telegram
        self.resend = resend
    }

    private var node: GatewayProcess { world.nodes[0] }

    // MARK: Through the API

    @discardableResult
    func call(_ method: String, _ path: String, _ customer: Customer, _ body: [String: Any]? = nil, expect status: Int) async throws -> [String: Any]
    {
        let answer = try await HTTP.request(
            method, node.baseURL + path, key: customer.key, idempotencyKey: method == "POST" ? UUID().uuidString : nil, body: body)
        guard answer.status == status else { throw ProofFailure("\(method) \(path): \(answer.status) \(answer.body["code"] ?? "")") }
        return answer.body
    }

    func addCustomer() async throws -> Customer {
        guard let id = try await node.verb(["account", "create", "Customer \(world.next())"])["id"] as? String else {
            throw ProofFailure("no account")
        }
        let customer = Customer(id: id, key: try await World.makeKey(node, id, test: false))
        // That key itself is none of what is counted here.
        try await call("PATCH", "/v1/alerts/rules/key_created", customer, ["enabled": false], expect: 200)
        return customer
    }

    /// Links a chat as its people and an operator do. Returns when the chat has been told that it is linked.
    @discardableResult
    func link(_ chat: FakeTelegram.Chat, to customer: Customer) async throws -> String {
        let (link, token) = try await startLink(customer)
        telegram.say("/start \(token)", in: chat)
        let channel = try await confirm(link, customer)
        try await wait("the chat to be told") { self.telegram.messages(in: chat.id).contains { $0.html.contains("Linked") } }
        return channel
    }

    func startLink(_ customer: Customer) async throws -> (id: String, token: String) {
        var made: [String: Any] = [:]
        // Until Telegram has said what the bot is called.
        try await wait("a link") {
            let answer = try await HTTP.request(
                "POST", self.node.baseURL + "/v1/alerts/telegram-link", key: customer.key, idempotencyKey: UUID().uuidString)
            made = answer.body
            return answer.status == 201
        }
        guard let id = made["id"] as? String, let url = made["url"] as? String, let token = url.split(separator: "=").last else {
            throw ProofFailure("the link has no address")
        }
        tokens.append(String(token))
        return (id, String(token))
    }

    func linkState(_ id: String, _ customer: Customer) async throws -> String {
        let answer = try await HTTP.request("GET", node.baseURL + "/v1/alerts/telegram-link/\(id)", key: customer.key)
        // Between the use of its token and the birth of its channel a link is not to be seen: counted, and shown with what was seen.
        if answer.status == 404 { _ = unseen.next() }
        return answer.body["state"] as? String ?? ""
    }

    func confirm(_ link: String, _ customer: Customer) async throws -> String {
        try await wait("the chat to take the link") { try await self.linkState(link, customer) == "linked" }
        let channel = try await call("POST", "/v1/alerts/telegram-link/\(link)/confirm", customer, expect: 200)
        return channel["id"] as? String ?? ""
    }

    /// An address that has said yes.
    @discardableResult
    func addEmail(_ address: String, to customer: Customer, isEscalationOnly: Bool = false) async throws -> String {
        let made = try await call(
            "POST", "/v1/alerts/channels", customer, ["type": "email", "address": address, "escalation_only": isEscalationOnly], expect: 201)
        try await wait("the verification") { self.resend.mails.contains { $0.to == [address] } }
        guard let text = resend.mails.last(where: { $0.to == [address] })?.text, let token = text.firstMatch(of: /token=([A-Za-z0-9_-]{43})/)?.1
        else {
            throw ProofFailure("the verification has no link")
        }
        let status = try await post("/verify-email", Array("token=\(token)".utf8), ["content-type": "application/x-www-form-urlencoded"])
        guard status == 200 else { throw ProofFailure("POST /verify-email: \(status)") }
        let id = made["id"] as? String ?? ""
        try await wait("the address to be active") { try await self.channelState(id, customer) == "active" }
        return id
    }

    func channelState(_ id: String, _ customer: Customer) async throws -> String {
        try await call("GET", "/v1/alerts/channels/\(id)", customer, expect: 200)["state"] as? String ?? ""
    }

    /// Something critical: a sender of the account is logged out, as its row says.
    func makeTrouble(_ customer: Customer) async throws {
        try await call("POST", "/v1/senders", customer, ["label": "Shop"], expect: 201)
        let account = try Account.ID(text: customer.id)
        try await world.database.tell(
            "proof.logOut", "UPDATE senders SET state = 'logged_out', state_since = clock_timestamp() WHERE account_id = \(account)")
    }

    /// What a stranger, or Telegram, posts to the gateway.
    func post(_ path: String, _ body: [UInt8], _ headers: [String: String]) async throws -> Int {
        let policy = EgressPolicy.allowing(networks: ["127.0.0.1/32"].compactMap { IPNetwork($0) }, schemes: [.http])
        let client = try HTTPClient(.init(policy: policy, userAgent: "prove/1"))
        let request = try OutboundRequest(
            .post, OutboundURL(node.baseURL + path), headers: headers.map { try OutboundHeader($0.key, $0.value) }, body: body)
        let status = try await client.send(request).status
        await client.close(within: .zero)
        return status
    }

    func wait(_ what: String, for limit: Duration = .seconds(120), until isTrue: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + limit
        while try await !isTrue() {
            guard ContinuousClock.now < end else { throw ProofFailure("waited \(limit) in vain for \(what)") }
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
    }
}
