import Foundation
import Primitives
import Proof
import Secrets
import Simulator

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Fills every field a client can fill with texts and numbers that exist nowhere else, over a real gateway, and remembers them as needles.
struct PrivacyTraffic {
    let gateway: GatewayProcess
    let simulator: WhatsAppSimulator
    private(set) var needles: [Needle] = []
    private(set) var account = ""
    private(set) var key = ""
    private(set) var accepted = 0
    private(set) var refused = 0
    /// Status → how many messages ended there.
    private(set) var ended: [String: Int] = [:]
    /// Texts that a recipient's device decrypted.
    private(set) var readAtRecipients = 0
    private var messages: [(id: String, core: String)] = []

    /// Endings of recipients' numbers and what they stand for at the simulator; a number ending 0009 pauses its sender and comes last.
    private static let endings = [
        "4711", "0001", "4712", "0006", "4713", "0000", "4714", "0004", "4715", "0005", "4716", "0008", "4717", "0002", "4718", "0006", "4719",
        "0001",
        "4720", "0009",
    ]

    init(gateway: GatewayProcess, simulator: WhatsAppSimulator) {
        self.gateway = gateway
        self.simulator = simulator
    }

    // MARK: Steps

    mutating func run() async throws {
        try await setUp()
        try await gateway.start()
        for number in 1...2 { try await pairSender(number) }
        try await sendAll()
        try await sendFromCommandLine()
        try await refusals()
        try inbound()
        try await settle()
        collectIdentities()
    }

    private mutating func setUp() async throws {
        let name = note(.label, "account name")
        guard let account = try await gateway.verb(["account", "create", "Account \(name)"])["id"] as? String else {
            throw Stuck(description: "no account id")
        }
        self.account = account
        let label = note(.label, "key label")
        guard let key = try await gateway.verb(["key", "create", "--account", account, "--label", "Key \(label)", "--test"])["secret"] as? String,
            key.utf8.count == APIKeySecret.length
        else { throw Stuck(description: "no key") }
        self.key = key
        addKey("of the run", key)
    }

    private mutating func pairSender(_ number: Int) async throws {
        let label = note(.label, "sender label")
        let created = try await call("POST", "/v1/senders", ["label": "CS \(label)"])
        guard let id = created["id"] as? String else { throw Stuck(description: "sender was not created") }
        _ = try await call("POST", "/v1/senders/\(id)/pairing", [:])
        var scanned = ""
        try await wait("sender \(number) to be ready", for: .seconds(60)) {
            let pairing = try await call("GET", "/v1/senders/\(id)/pairing")
            if let qr = pairing["qr"] as? String, qr != scanned {
                scanned = qr
                _ = try? await call("GET", "/v1/senders/\(id)/pairing", accept: "image/svg+xml")
                _ = try? simulator.scan(qr: qr, number: "628\(digits(7))580\(number)")
                // Its last part is the secret that proves who scanned it (protocol.md 6.1).
                for (index, part) in qr.split(separator: ",").enumerated() where part.utf8.count >= 40 {
                    needles.append(Needle(.pairing, "part \(index + 1) of the QR text", text: String(part)))
                }
            }
            return (try await call("GET", "/v1/senders/\(id)")["state"] as? [String: Any])?["code"] as? String == "ready"
        }
    }

    private mutating func sendAll() async throws {
        for ending in Self.endings {
            let number = recipient(ending)
            let text = note(.text, "text to …\(ending)", "Kode Anda ")
            let body: [String: Any] = [
                "to": "+\(number)", "type": "text", "text": ["body": "Kode Anda \(text)"], "reference": note(.reference, "reference"),
                "metadata": [note(.metadata, "metadata key"): note(.metadata, "metadata value")],
            ]
            let name = note(.idempotencyKey, "idempotency key")
            let answer = try await send("POST", "/v1/messages", try JSONSerialization.data(withJSONObject: body), ["Idempotency-Key": name])
            guard answer.status == 202, let id = answer.body["id"] as? String else { throw Stuck(description: "not accepted: \(answer.status)") }
            messages.append((id, text))
            accepted += 1
            if ending == "0001" { try await expect(202, "POST", "/v1/messages", json: body, ["Idempotency-Key": name]) }
            if ending == "4712" {
                var other = body
                other["text"] = ["body": note(.request, "text under a used idempotency key")]
                try await expect(422, "POST", "/v1/messages", json: other, ["Idempotency-Key": name])
            }
        }
    }

    private mutating func sendFromCommandLine() async throws {
        let text = note(.text, "text of gateway send")
        let sent = try await gateway.verb([
            "send", "--account", account, "--to", "+" + recipient("4721"), "--test", "--idempotency-key", note(.idempotencyKey, "idempotency key"),
            text,
        ])
        guard let id = sent["id"] as? String else { throw Stuck(description: "gateway send gave no id") }
        messages.append((id, text))
        accepted += 1
        _ = try await gateway.verb(["message", "show", "--account", account, id])
        // Refused on the command line: what it complains about stands in nobody's log.
        _ = try? await gateway.verb([
            "send", "--account", account, "--to", recipient("4722"), "--test", note(.request, "text of a refused gateway send"),
        ])
    }

    /// Requests that are refused, with canaries wherever a client can put something.
    private mutating func refusals() async throws {
        let to = "+" + recipient("4730")
        func body(_ text: String) -> [String: Any] { ["to": to, "type": "text", "text": ["body": text]] }
        try await expect(400, "POST", "/v1/messages", Data("{\"to\": \"\(to)\", \"text\": {\"body\": \"\(canary("broken JSON"))\"".utf8))
        try await expect(400, "POST", "/v1/messages", Data([0xFF, 0xFE]) + Data(canary("no UTF-8").utf8))
        try await expect(
            422, "POST", "/v1/messages",
            json: body(canary("text beside an unknown field")).merging([canary("unknown field"): canary("its value")]) { $1 })
        try await expect(
            422, "POST", "/v1/messages", json: ["to": "+62 " + canary("no number"), "type": "text", "text": ["body": canary("its text")]])
        try await expect(
            422, "POST", "/v1/messages", json: ["to": Int(recipient("4731")) ?? 0, "type": "text", "text": ["body": canary("wrong type")]])
        try await expect(422, "POST", "/v1/messages", json: body(canary("too long a text") + String(repeating: "a", count: 70_000)))
        try await expect(413, "POST", "/v1/messages", json: body(canary("too large a body") + String(repeating: "a", count: 600_000)))
        try await expect(422, "POST", "/v1/messages", json: body(canary("no such kind")).merging(["type": canary("kind")]) { $1 })
        try await expect(422, "POST", "/v1/messages", json: body(canary("bad route")).merging(["route": ["sender": canary("sender id")]]) { $1 })
        try await expect(
            422, "POST", "/v1/messages",
            json: body(canary("bad metadata")).merging(["metadata": [canary("key"): String(repeating: canary("value"), count: 99)]]) { $1 })
        try await expect(
            400, "POST", "/v1/messages", json: body(canary("bad idempotency key")),
            ["Idempotency-Key": String(repeating: canary("idempotency key"), count: 20)])
        try await expect(415, "POST", "/v1/messages", json: body(canary("wrong content type")), ["Content-Type": "text/plain"])
        try await expect(422, "POST", "/v1/senders", json: ["label": canary("sender label") + String(repeating: "a", count: 500)])
        try await expect(405, "DELETE", "/v1/messages?reference=" + canary("wrong method"))
        try await expect(404, "GET", "/v1/messages/" + canary("path"))
        try await expect(404, "GET", "/" + canary("root path"))
        try await expect(422, "GET", "/v1/messages?status=" + canary("query"))
        try await expect(200, "GET", "/v1/messages?to=%2B\(to.dropFirst())&reference=\(canary("searched reference"))")
        try await expect(200, "GET", "/v1/messages", headers: ["User-Agent": canary("User-Agent"), "X-Request-Id": canary("X-Request-Id")])
        // At most four: the fifth wrong key of a minute shuts this address out.
        let wrong = APIKeySecret.generate(.test).reveal()
        addKey("nobody's", wrong)
        try await expect(401, "GET", "/v1/messages", headers: ["Authorization": "Bearer \(wrong)"])
        try await expect(401, "GET", "/v1/messages", headers: ["Authorization": "Bearer wg_test_\(canary("truncated key"))"])
        try await expect(401, "GET", "/v1/messages", headers: ["Authorization": "Basic \(canary("Basic"))"])
    }

    /// Somebody writes to a sender: acknowledged and dropped undecrypted.
    private mutating func inbound() throws {
        guard let sender = simulator.phones.first?.number else { return }
        _ = try simulator.inbound(from: recipient("4740"), to: sender, text: canary("text of an inbound message"))
    }

    private mutating func settle() async throws {
        let settled: Set = ["delivered", "read", "failed", "expired"]
        var open = messages
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(45))
        while !open.isEmpty && clock.now < end {
            var rest: [(id: String, core: String)] = []
            for message in open {
                guard let status = try await call("GET", "/v1/messages/\(message.id)")["status"] as? String, settled.contains(status) else {
                    rest.append(message)
                    continue
                }
                ended[status, default: 0] += 1
            }
            open = rest
            // What is left waits out a pause (429) or a receipt that comes late.
            if open.count <= 1, simulator.counters.retryRequests > 0, (ended["read"] ?? 0) > 0 { break }
            try await clock.sleep(for: .milliseconds(200))
        }
        if !open.isEmpty { ended["open"] = open.count }
        let texts = Set(simulator.received().filter { !$0.isOwnCopy && $0.shown > 0 }.compactMap(\.text))
        readAtRecipients = messages.count { message in texts.contains { $0.hasSuffix(message.core) } }
    }

    /// The hidden forms of everybody's numbers, which the gateway learned on the way.
    private mutating func collectIdentities() {
        var users = Set(simulator.received().map { String($0.device.prefix(while: \.isNumber)) })
        for message in simulator.received() { users.insert(message.number) }
        for user in users.sorted() where !needles.contains(where: { $0.bytes == Array(user.utf8) }) {
            needles.append(Needle(.lid, "LID of a recipient", digits: user))
        }
    }

    // MARK: Canaries

    /// 16 letters and digits that exist nowhere else.
    static func core() -> String {
        let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)
        return "z" + String(decoding: SystemRandom().bytes(15).map { alphabet[Int($0 & 31)] }, as: UTF8.self)
    }

    private mutating func note(_ kind: Needle.Kind, _ name: String, _ prefix: String = "") -> String {
        let core = Self.core()
        needles.append(Needle(kind, name, text: core, in: prefix + core))
        return core
    }

    private mutating func canary(_ name: String) -> String { note(.request, name) }

    private func digits(_ count: Int) -> String { SystemRandom().bytes(count).map { String($0 % 10) }.joined() }

    private mutating func recipient(_ ending: String) -> String {
        let number = "628\(digits(7))\(ending)"
        needles.append(Needle(.number, "recipient …\(ending)", digits: number))
        return number
    }

    private mutating func addKey(_ name: String, _ text: String) {
        needles.append(Needle(.apiKey, "\(name), whole", text: text))
        // wg_test_, 12 public characters, 43 secret ones, 6 of checksum.
        needles.append(Needle(.apiKey, "\(name), secret part", text: String(text.dropFirst(20).prefix(43))))
    }

    // MARK: Requests

    private func call(_ method: String, _ path: String, _ body: [String: Any]? = nil, accept: String? = nil) async throws -> [String: Any] {
        try await send(method, path, try body.map { try JSONSerialization.data(withJSONObject: $0) }, accept.map { ["Accept": $0] } ?? [:]).body
    }

    private mutating func expect(
        _ status: Int, _ method: String, _ path: String, _ body: Data? = nil, json: [String: Any]? = nil, _ headers: [String: String] = [:]
    ) async throws {
        let answer = try await send(method, path, try json.map { try JSONSerialization.data(withJSONObject: $0) } ?? body, headers)
        guard answer.status == status else { throw Stuck(description: "\(method) \(path.prefix(12))… gave \(answer.status) instead of \(status)") }
        if status >= 400 { refused += 1 }
    }

    private mutating func expect(_ status: Int, _ method: String, _ path: String, headers: [String: String]) async throws {
        try await expect(status, method, path, nil, json: nil, headers)
    }

    private func send(_ method: String, _ path: String, _ body: Data?, _ headers: [String: String]) async throws -> HTTP.Answer {
        guard let url = URL(string: gateway.baseURL + path) else { throw URLError(.badURL) }
        var request = URLRequest(url: url, timeoutInterval: 20)
        request.httpMethod = method
        request.httpBody = body
        request.setValue("Bearer \(key)", forHTTPHeaderField: "Authorization")
        if body != nil { request.setValue("application/json", forHTTPHeaderField: "Content-Type") }
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        let (data, response) = try await URLSession.shared.data(for: request)
        let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
        return HTTP.Answer(status: (response as? HTTPURLResponse)?.statusCode ?? 0, body: object ?? [:])
    }

    private func wait(_ what: String, for limit: Duration, until isTrue: () async throws -> Bool) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        while clock.now < end {
            if try await isTrue() { return }
            try await clock.sleep(for: .milliseconds(100))
        }
        throw Stuck(description: "waited in vain for \(what)")
    }
}
