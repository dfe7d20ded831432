@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

@Suite struct WebhookTests {
    @Test func `an endpoint is sealed, verified by its challenge, and then gets what happens`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let made = try #require(
                try await test.gateway.webhooks.create(
                    account: account, EndpointFields(url: "https://example.com/hook?token=hemlig", description: "Kassa"), test: true, now: test.now))
            _ = try await test.travel(owner, account)
            let before = try await test.claimWebhooks()
            try await test.report(before, .answered(status: 200, wait: nil, hasChallenge: true))
            let sent = try await test.travel(owner, account)
            let claimed = try await test.claimWebhooks()
            let payloads = try claimed.map { try test.json($0.body) }

            #expect(made.endpoint.state == .verifying && made.secret?.hasPrefix("whsec_") == true && !made.replayed)
            #expect(try await test.gateway.webhooks.get(made.endpoint.id, account: account)?.state == .enabled)
            #expect(before.map(\.type) == [.endpointVerification] && before.first?.challenge == before.first?.event.description)
            #expect(Set(claimed.compactMap(\.type)) == [.messageSending, .messageSent, .messageDelivered, .messageRead])
            #expect(payloads.allSatisfy { ($0["data"] as? [String: Any])?["message"] as? String == sent.description })
            let read = try #require(payloads.first { $0["type"] as? String == "message.read" })
            let data = try #require(read["data"] as? [String: Any])
            #expect(data["sequence"] as? Int == 5 && data["status"] as? String == "read" && data["sender"] as? String == owner.sender.description)
            #expect(
                data["reference"] as? String == "order-17" && data["metadata"] as? [String: String] == ["k": "v"] && data["test"] as? Bool == true)
            #expect(data["to"] == nil && data["body"] == nil && !String(describing: payloads).contains("Kode"))
            let rows = try await test.owner.query("test.rows", "SELECT w::text AS line FROM webhook_endpoints w") {
                try $0.column("line", as: String.self)
            }
            #expect(rows.count == 1 && !rows[0].contains("hemlig") && !rows[0].contains("Kassa") && !rows[0].contains("whsec"))
        }
    }

    @Test func `an account without endpoints has no events, and one with a filter has what it chose`() async throws {
        try await withTestGateway { test in
            let (quiet, _, quietOwner) = try await test.makeReadySender()
            let (account, _, owner) = try await test.makeReadySender()
            let all = try await test.addWebhook(account)
            let some = try await test.addWebhook(
                account, EndpointFields(url: "https://b.example", types: .only(["message.read", "sender.disconnected"])))
            let live = try await test.addWebhook(account, isTest: false)
            _ = try await test.travel(quietOwner, quiet)
            _ = try await test.travel(owner, account)
            _ = try await test.gateway.senders.recordState(owner, .disconnected, now: test.now)
            let claimed = try await test.claimWebhooks()

            #expect(try await test.count("SELECT 1 AS one FROM events WHERE account_id = \(quiet)") == 0)
            #expect(claimed.count { $0.endpoint == all } == 5 && claimed.count { $0.endpoint == live } == 0)
            #expect(Set(claimed.filter { $0.endpoint == some }.compactMap(\.type)) == [.messageRead, .senderDisconnected])
            let sender = try #require(claimed.first { $0.type == .senderDisconnected })
            let data = try test.json(sender.body)["data"] as? [String: Any]
            #expect(data?["sender"] as? String == owner.sender.description && data?["status"] as? String == "disconnected" && data?["message"] == nil)
        }
    }

    @Test func `the recipient's number is in the payload of those alone who asked for it, and in no table of events`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let with = try await test.addWebhook(account, EndpointFields(url: "https://a.example", includesRecipient: true))
            _ = try await test.addWebhook(account)
            _ = try await test.travel(owner, account)
            let claimed = try await test.claimWebhooks()

            #expect(claimed.count == 8)
            for delivery in claimed {
                let data = try test.json(delivery.body)["data"] as? [String: Any]
                #expect(data?["to"] as? String == (delivery.endpoint == with ? "+628123456789" : nil))
            }
            for table in ["events", "event_queue", "webhook_attempts"] {
                #expect(try await test.count("SELECT 1 AS one FROM \(unescaped: table) t WHERE t::text LIKE '%8123456789%'") == 0)
            }
        }
    }

    @Test func `what is wrong with an endpoint is said at once, place by place`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            func problems(_ fields: EndpointFields) async -> [String] {
                do {
                    _ = try await test.gateway.webhooks.create(account: account, fields, test: true, now: test.now)
                    return []
                } catch let invalid as InvalidEndpoint { return invalid.problems.map { "\($0.pointer) \($0.code.rawValue)" } } catch {
                    return ["\(error)"]
                }
            }
            #expect(await problems(EndpointFields()) == ["/url required"])
            #expect(
                await problems(
                    EndpointFields(url: "http://example.com", description: "a\nb", types: .only(["message.read", "webhook_endpoint.test", "x"])))
                    == ["/url invalid_value", "/description invalid_value", "/events/1 invalid_value", "/events/2 invalid_value"])
            #expect(await problems(EndpointFields(url: "https://example.com", types: .only([]))) == ["/events required"])
            for url in [
                "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/", "https://user@example.com/", "https://example.com/#a",
                "https://example.com:22/", "https://0x7f.1/", "ftp://example.com/", "https://exämple.com/", "https://example.com/\r\nX: y", "",
            ] { #expect(await problems(EndpointFields(url: url)) == ["/url invalid_value"], "\(url)") }
            #expect(try await test.gateway.webhooks.list(account).isEmpty)
            for number in 0..<Webhooks.limit {
                let url = "https://example.com/\(number)"
                #expect(await problems(EndpointFields(url: url)).isEmpty)
            }
            #expect(await problems(EndpointFields(url: "https://example.com")) == [" too_many"])
        }
    }

    @Test func `a repeated creation gives the same endpoint without its secret, another body is refused`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            func create(_ url: String) async throws -> Webhooks.Made? {
                try await test.gateway.webhooks.create(
                    account: account, EndpointFields(url: url), test: true, idempotencyKey: IdempotencyKey("k"), now: test.now)
            }
            let first = try #require(try await create("https://a.example"))
            let again = try #require(try await create("https://a.example"))
            let refusal = await #expect(throws: AcceptFailure.self) { _ = try await create("https://b.example") }

            #expect(again.endpoint.id == first.endpoint.id && again.replayed && again.secret == nil && first.secret != nil)
            #expect(refusal?.code == .idempotencyKeyReused)
            #expect(try await test.gateway.webhooks.list(account).count == 1)
        }
    }

    @Test func `after a rotation both secrets sign, until the old one's time is over, and then it is erased`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let made = try #require(
                try await test.gateway.webhooks.create(account: account, EndpointFields(url: "https://a.example"), test: true, now: test.now))
            try await test.report(try await test.claimWebhooks(), .answered(status: 200, wait: nil, hasChallenge: true))
            let id = made.endpoint.id
            // A delivery whose first try fails before the rotation.
            _ = try await test.travel(owner, account)
            let failed = try await test.claimWebhooks()
            try await test.report(failed, .failed(code: "timeout"))
            let rotated = try #require(
                try await test.gateway.webhooks.rotate(id, account: account, idempotencyKey: IdempotencyKey("r"), now: test.now))
            let again = try #require(try await test.gateway.webhooks.rotate(id, account: account, idempotencyKey: IdempotencyKey("r"), now: test.now))
            test.clock.advance(by: 60)
            let during = try #require(try await test.claimWebhooks().first)
            try await test.report([during], .failed(code: "timeout"))
            test.clock.advance(by: 86_400)
            let after = try #require(try await test.claimWebhooks().first)

            let old = try #require(made.secret)
            let new = try #require(rotated.secret)
            #expect(old != new && again.replayed && again.secret == nil && rotated.endpoint.previousUntil == test.now.addingTimeInterval(-60))
            #expect(test.verifying(during, old, new) == [true, true])
            #expect(test.verifying(after, old, new) == [false, true])
            #expect(try await test.count("SELECT 1 AS one FROM webhook_endpoints WHERE previous_sealed IS NOT NULL") == 1)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.count("SELECT 1 AS one FROM webhook_endpoints WHERE previous_sealed IS NOT NULL") == 0)
            #expect(try await test.gateway.webhooks.rotate(id, account: account, overlap: 0, now: test.now)?.endpoint.previousUntil == nil)
        }
    }

    @Test func `a new URL gets nothing until it has answered its own challenge`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let id = try await test.addWebhook(account)
            _ = try await test.travel(owner, account)
            let moved = try await test.gateway.webhooks.update(id, account: account, EndpointFields(url: "https://b.example/x"), now: test.now)
            let first = try await test.claimWebhooks()
            let again = try await test.gateway.webhooks.update(id, account: account, EndpointFields(url: "https://c.example/x"), now: test.now)
            // The old URL's answer comes late, and proves nothing about the new one.
            try await test.report(first, .answered(status: 200, wait: nil, hasChallenge: true))
            let still = try await test.gateway.webhooks.get(id, account: account)
            let second = try await test.claimWebhooks()
            try await test.report(second, .answered(status: 200, wait: nil, hasChallenge: false))
            let unproved = try await test.gateway.webhooks.get(id, account: account)
            test.clock.advance(by: 10)
            try await test.report(try await test.claimWebhooks(), .answered(status: 204, wait: nil, hasChallenge: true))

            #expect(moved?.state == .verifying && again?.state == .verifying && still?.state == .verifying && unproved?.state == .verifying)
            #expect(first.map(\.url) == ["https://b.example/x"] && second.map(\.url) == ["https://c.example/x"])
            #expect(first.map(\.type) == [.endpointVerification] && second.map(\.type) == [.endpointVerification])
            #expect(try await test.gateway.webhooks.get(id, account: account)?.state == .enabled)
            #expect(try await test.claimWebhooks().count == 4)
        }
    }

    @Test func `an endpoint that never answers its challenge is disabled as unverified`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let made = try #require(
                try await test.gateway.webhooks.create(account: account, EndpointFields(url: "https://a.example"), test: true, now: test.now))
            var tries = 0
            while case let claimed = try await test.claimWebhooks(), !claimed.isEmpty {
                tries += 1
                try await test.report(claimed, .answered(status: 200, wait: nil, hasChallenge: false))
                test.clock.advance(by: 9_000)
            }
            let endpoint = try await test.gateway.webhooks.get(made.endpoint.id, account: account)

            #expect(tries == 5 && endpoint?.state == .disabled && endpoint?.disabledReason == .unverified)
            // It may try again.
            let enabled = try await test.gateway.webhooks.update(made.endpoint.id, account: account, EndpointFields(), isEnabled: true, now: test.now)
            #expect(enabled?.state == .verifying)
            #expect(try await test.claimWebhooks().count == 1)
        }
    }

    @Test func `tests come once in ten seconds`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            let webhooks = test.gateway.webhooks
            let key = try IdempotencyKey("t")
            guard case .queued(let event, false) = try await webhooks.test(id, account: account, idempotencyKey: key, now: test.now),
                case .queued(event, true) = try await webhooks.test(id, account: account, idempotencyKey: key, now: test.now),
                case .tooSoon(let wait) = try await webhooks.test(id, account: account, now: test.now)
            else { throw TestFailure("one, the same, and too soon") }
            let claimed = try await test.claimWebhooks()
            test.clock.advance(by: 10)
            guard case .queued = try await webhooks.test(id, account: account, now: test.now) else { throw TestFailure("ten seconds are over") }
            _ = try await webhooks.update(id, account: account, EndpointFields(), isEnabled: false, now: test.now)
            guard case .disabled = try await webhooks.test(id, account: account, now: test.now) else { throw TestFailure("it is disabled") }

            #expect(wait == 10 && claimed.map(\.type) == [.endpointTest] && claimed.map(\.event) == [event])
            #expect(try await webhooks.test(WebhookEndpoint.ID.make(at: test.now, random: SystemRandom()), account: account, now: test.now) == nil)
            #expect(try await test.gateway.events.pull(account: account, now: test.now).events.isEmpty)
        }
    }

    @Test func `a deleted endpoint loses its secrets at once and its log soon after`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let id = try await test.addWebhook(account)
            _ = try await test.travel(owner, account)
            let claimed = try await test.claimWebhooks()
            #expect(try await test.gateway.webhooks.delete(id, account: account))
            try await test.report(claimed, .answered(status: 200, wait: nil, hasChallenge: true))

            #expect(try await test.gateway.webhooks.get(id, account: account) == nil)
            #expect(try await test.gateway.webhooks.delete(id, account: account) == false)
            #expect(try await test.count("SELECT 1 AS one FROM webhook_endpoints WHERE secret_sealed IS NOT NULL OR url_sealed IS NOT NULL") == 0)
            while try await test.gateway.webhooks.settle(now: test.now, limit: 2) > 0 {}
            for table in ["webhook_endpoints", "event_queue", "webhook_attempts"] {
                #expect(try await test.count("SELECT 1 AS one FROM \(unescaped: table)") == 0, "\(table)")
            }
        }
    }
}

extension TestGateway {
    /// An endpoint that has answered its challenge.
    func addWebhook(
        _ account: Account.ID, _ fields: EndpointFields = EndpointFields(url: "https://a.example/hook"), isTest: Bool = true
    ) async throws -> WebhookEndpoint.ID {
        guard let made = try await gateway.webhooks.create(account: account, fields, test: isTest, now: now) else { throw TestFailure("not made") }
        try await report(try await claimWebhooks().filter { $0.endpoint == made.endpoint.id }, .answered(status: 200, wait: nil, hasChallenge: true))
        return made.endpoint.id
    }

    /// Everything that is due, of all accounts.
    func claimWebhooks(concurrency: Int = 100) async throws -> [ClaimedDelivery] {
        var position: EndpointPlace?
        let due = try await gateway.webhooks.due(from: &position, now: now)
        return try await gateway.webhooks.claim(
            due.map { ($0, 100) }, concurrency: concurrency, now: now, deadline: now.addingTimeInterval(60))
    }

    func report(_ claimed: [ClaimedDelivery], _ ending: DeliveryReport.Ending) async throws {
        for delivery in claimed {
            try await gateway.webhooks.record(
                DeliveryReport(delivery, ending, startedAt: now.addingTimeInterval(-0.012), duration: .milliseconds(12)))
        }
    }

    /// A message's whole way, from accepted to read.
    func travel(_ owner: OwnedSender, _ account: Account.ID) async throws -> Message.ID {
        let accepted = try await gateway.messages.accept(
            message(reference: "order-17"), caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: now)
        guard let message = try await claim(owner).first(where: { $0.id == accepted.message.id }) else { throw TestFailure("not claimed") }
        try await gateway.outbox.preWire(message, owner: owner, now: now, writes: [])
        _ = try await gateway.outbox.acknowledge(Acknowledged(message: message.id, owner: owner, wireID: message.wireID), now: now)
        let receipts = [ReceiptRecord.Kind.delivered, .read].map { ReceiptRecord(owner: owner, wireID: message.wireID, kind: $0, at: now) }
        for receipt in receipts { _ = try await gateway.outbox.recordReceipts([receipt], now: now) }
        return message.id
    }

    func json(_ bytes: [UInt8]) throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] ?? [:]
    }

    /// Whether one of the delivery's signatures is each secret's.
    func verifying(_ delivery: ClaimedDelivery, _ secrets: String...) -> [Bool] {
        let headers = Dictionary(uniqueKeysWithValues: delivery.headers(at: now))
        let timestamp = Int(headers["webhook-timestamp"] ?? "") ?? 0
        let signatures = (headers["webhook-signature"] ?? "").split(separator: " ").map(String.init)
        return secrets.map { text in
            guard let key = Data(base64Encoded: String(text.dropFirst(6))), let secret = WebhookSecret(.symmetric, copying: Array(key)) else {
                return false
            }
            return signatures.contains(secret.signature(id: delivery.event.description, timestamp: timestamp, body: delivery.body))
        }
    }
}
