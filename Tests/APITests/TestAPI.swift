import API
import Domain
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Postgres
import TestSupport
import Testing
import Web

/// The API over a gateway of its own: one account with a ready test sender and a test key that may do everything.
struct TestAPI: Sendable {
    static let maximumBody = 524_288

    let client: any TestClientProtocol
    let test: TestGateway
    let account: Account.ID
    let sender: Sender.ID
    let owner: OwnedSender
    let key: String
    let keyID: APIKey.ID

    /// One request with the account's key, unless another is named; `key: ""` sends none.
    func call(
        _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil, key: String? = nil, headers: [String: String] = [:]
    ) async throws -> Answer {
        var fields = HTTPFields()
        let key = key ?? self.key
        if !key.isEmpty { fields[.authorization] = "Bearer \(key)" }
        if body != nil { fields[.contentType] = "application/json" }
        for (name, value) in headers { fields[try #require(HTTPField.Name(name))] = value }
        return try await client.execute(uri: path, method: method, headers: fields, body: body.map { ByteBuffer(string: $0) }) { Answer($0) }
    }

    /// A message that is accepted.
    static func message(_ text: String = "Kode Anda 123456", to: String = "+628123456789", more: String = "") -> String {
        #"{"to": "\#(to)", "type": "text", "text": {"body": "\#(text)"}\#(more)}"#
    }

    /// A sender of the account that is connected, in addition to `sender`.
    func addSender(_ label: String) async throws -> Sender.ID { try await test.makeReadySender(account: account, label: label).sender }

    /// A live sender of the account, not paired, and a live key.
    func addLive() async throws -> (sender: Sender.ID, key: String) {
        let sender = try await test.gateway.senders.create(account: account, label: "Live", test: false, now: test.now)
        let key = try await test.gateway.apiKeys.create(account: account, label: "live", test: false, now: test.now)
        return (sender.id, key.secret)
    }

    /// Rows of every table that accepting a message or making a sender writes.
    func rows() async throws -> Int {
        var sum = 0
        for table in [
            "messages", "message_bodies", "message_events", "outbox", "wire_ids", "idempotency", "senders", "pairings", "pools",
        ] {
            sum += try await test.count("SELECT 1 AS one FROM \(unescaped: table)")
        }
        return sum
    }
}

struct Answer: Sendable {
    let status: Int
    let headers: HTTPFields
    let bytes: [UInt8]

    init(_ response: TestResponse) {
        status = response.status.code
        headers = response.headers
        bytes = Array(response.body.readableBytesView)
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
    var json: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(bytes))) as? [String: Any] ?? [:] }
    var data: [[String: Any]] { json["data"] as? [[String: Any]] ?? [] }
    var id: String { json["id"] as? String ?? "" }
    var code: String { json["code"] as? String ?? "" }
    /// `pointer code` of each wrong place.
    var places: [String] {
        (json["errors"] as? [[String: Any]] ?? []).map { "\($0["pointer"] as? String ?? "?") \($0["code"] as? String ?? "?")" }
    }

    func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
}

func withAPI(
    _ setup: TestingSetup = .router, limits: RequestLimits = RequestLimits(), behindProxy: Bool = false,
    alerts: AlertSetup = AlertSetup(telegramBot: { "shop_alerts_bot" }, sendsEmail: true),
    _ body: @escaping @Sendable (TestAPI) async throws -> Void
) async throws {
    try await withTestGateway { test in
        let (account, sender, owner) = try await test.makeReadySender()
        let key = try await test.gateway.apiKeys.create(account: account, label: "shop", test: true, now: test.now)
        let router = Hummingbird.Router(context: WebContext.self)
        let database = test.gateway.databases.api
        Routes(
            gateway: test.gateway, maximumBody: TestAPI.maximumBody, limits: limits, behindProxy: behindProxy, alerts: alerts, now: { test.now }
        ).add(to: router) {
            do {
                try await database.execute("ready", "SELECT 1 AS ready", deadline: .seconds(2))
                return []
            } catch {
                return ["database_unavailable"]
            }
        }
        let application = Application(
            router: router, configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)), logger: .silent)
        try await application.test(setup) { client in
            try await body(
                TestAPI(client: client, test: test, account: account, sender: sender, owner: owner, key: key.secret, keyID: key.key.id))
        }
    }
}

/// Files of the repository.
enum Repository {
    static func text(_ path: String) throws -> String {
        var root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        for _ in 0..<3 { root.deleteLastPathComponent() }
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }
}
