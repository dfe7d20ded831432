@testable import Domain
import Foundation
import HTTPTypes
import TestSupport
import Testing
import Web

@Suite struct WebhookTests {
    @Test func `an endpoint is made, shown, changed and deleted, and its secret is shown once`() async throws {
        try await withAPI { api in
            let body = #"{"url": "https://example.com/hook", "description": "Kassa", "events": ["message.read"], "include_recipient": true}"#
            let made = try await api.call(.post, "/v1/webhook-endpoints", body, headers: ["Idempotency-Key": "k"])
            let again = try await api.call(.post, "/v1/webhook-endpoints", body, headers: ["Idempotency-Key": "k"])
            let path = "/v1/webhook-endpoints/\(made.id)"
            let found = try await api.call(.get, path)
            let list = try await api.call(.get, "/v1/webhook-endpoints")
            let waiting = try await api.call(.get, path + "/deliveries?status=pending")
            try await api.answerWebhooks()
            let enabled = try await api.call(.get, path)
            let changed = try await api.call(.patch, path, #"{"events": ["*"], "include_recipient": false, "description": ""}"#)
            let moved = try await api.call(.patch, path, #"{"url": "https://example.com/other"}"#)
            let disabled = try await api.call(.patch, path, #"{"enabled": false}"#)
            let test = try await api.call(.post, path + "/test")
            let asked = try await api.call(.patch, path, #"{"enabled": true}"#)

            #expect(made.status == 201 && made.header("Location") == path && made.json["status"] as? String == "verifying", "\(made.text)")
            #expect((made.json["secret"] as? String)?.hasPrefix("whsec_") == true && made.json["code"] == nil)
            #expect(again.status == 201 && again.id == made.id && again.header("Idempotent-Replayed") == "true")
            #expect(again.json["secret"] is NSNull && again.json["code"] as? String == "secret_already_shown")
            #expect(found.json["secret"] == nil && found.json["url"] as? String == "https://example.com/hook" && list.data.count == 1)
            #expect(found.json["events"] as? [String] == ["message.read"] && found.json["include_recipient"] as? Bool == true)
            #expect(waiting.data.map { $0["type"] as? String } == ["webhook_endpoint.verification"])
            #expect(enabled.json["status"] as? String == "enabled")
            #expect(
                changed.json["events"] as? [String] == ["*"] && changed.json["include_recipient"] as? Bool == false
                    && changed.json["status"] as? String == "enabled")
            #expect(moved.json["status"] as? String == "verifying")
            #expect(disabled.json["status"] as? String == "disabled" && disabled.json["disabled_reason"] as? String == "requested")
            #expect(test.status == 409 && test.code == "webhook_endpoint_disabled" && test.json["state"] as? String == "disabled")
            #expect(asked.json["status"] as? String == "verifying" && asked.json["disabled_reason"] is NSNull)
            #expect(try await api.call(.delete, path).status == 204)
            #expect(try await api.call(.get, path).code == "not_found")
            #expect(try await api.call(.delete, path).code == "not_found")
            #expect(try await api.call(.get, path + "/deliveries").code == "not_found")
        }
    }

    @Test func `each bad endpoint has its own answer and leaves no row`() async throws {
        try await withAPI { api in
            let cases: [(body: String, places: [String])] = [
                ("{}", ["/url required"]),
                (#"{"url": "http://example.com"}"#, ["/url invalid_value"]),
                (#"{"url": "https://127.0.0.1"}"#, ["/url invalid_value"]),
                (#"{"url": "https://[::1]"}"#, ["/url invalid_value"]),
                (#"{"url": "https://169.254.169.254/latest/meta-data"}"#, ["/url invalid_value"]),
                (#"{"url": "https://example.com:25"}"#, ["/url invalid_value"]),
                (#"{"url": "https://u:p@example.com"}"#, ["/url invalid_value"]),
                (#"{"url": "https://example.com", "events": []}"#, ["/events required"]),
                (#"{"url": "https://example.com", "events": ["message.read", "*"]}"#, ["/events/1 invalid_value"]),
                (#"{"url": "https://example.com", "events": "*"}"#, ["/events wrong_type"]),
                (#"{"url": "https://example.com", "signing": "md5"}"#, ["/signing invalid_value"]),
                (#"{"url": "https://example.com", "enabled": true}"#, ["/enabled unsupported"]),
                (#"{"url": "https://example.com", "secret": "x"}"#, ["/secret unknown_field"]),
                (#"{"url": "https://example.com", "description": "a\u0007"}"#, ["/description invalid_value"]),
            ]
            for bad in cases {
                let answer = try await api.call(.post, "/v1/webhook-endpoints", bad.body)
                #expect(answer.status == 422 && answer.places == bad.places, "\(bad.body): \(answer.text)")
            }
            let live = try await api.call(.post, "/v1/webhook-endpoints", #"{"url": "https://example.com", "test": false}"#)
            #expect(live.code == "live_key_required")
            #expect(try await api.test.count("SELECT 1 AS one FROM webhook_endpoints") == 0)
            let made = try await api.addWebhook()
            let patch = try await api.call(.patch, "/v1/webhook-endpoints/\(made)", #"{"signing": "ed25519", "test": true}"#)
            #expect(patch.places == ["/signing unsupported", "/test unsupported"])
            let rotate = try await api.call(.post, "/v1/webhook-endpoints/\(made)/rotate-secret", #"{"overlap_seconds": 86401}"#)
            #expect(rotate.places == ["/overlap_seconds out_of_range"])
        }
    }

    @Test func `a test key sees test endpoints and test events only`() async throws {
        try await withAPI { api in
            let live = try await api.addLive()
            let own = try await api.addWebhook()
            let theirs = try await api.call(.post, "/v1/webhook-endpoints", #"{"url": "https://live.example"}"#, key: live.key)
            let also = try await api.call(.post, "/v1/webhook-endpoints", #"{"url": "https://test.example", "test": true}"#, key: live.key)
            _ = try await api.test.gateway.senders.remove(live.sender, account: api.account, now: api.test.now)
            _ = try await api.test.gateway.senders.recordState(api.owner, .disconnected, now: api.test.now)
            let pulled = try await api.call(.get, "/v1/events")
            let all = try await api.call(.get, "/v1/events", key: live.key)

            #expect(theirs.json["test"] as? Bool == false && also.json["test"] as? Bool == true)
            #expect(Set(try await api.call(.get, "/v1/webhook-endpoints").data.compactMap { $0["id"] as? String }) == [own, also.id])
            #expect(try await api.call(.get, "/v1/webhook-endpoints", key: live.key).data.count == 3)
            for (method, path) in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test"), ("POST", "/rotate-secret")]
            {
                let answer = try await api.call(
                    try #require(.init(rawValue: method)), "/v1/webhook-endpoints/\(theirs.id)\(path)", method == "PATCH" ? "{}" : nil)
                #expect(answer.code == "not_found", "\(method) \(path): \(answer.text)")
            }
            let replay = try await api.call(
                .post, "/v1/events/replay", #"{"from": "2026-01-01T00:00:00Z", "before": "2027-01-01T00:00:00Z", "endpoint": "\#(theirs.id)"}"#)
            #expect(replay.code == "not_found")
            #expect(pulled.data.map { $0["type"] as? String } == ["sender.disconnected"])
            #expect(Set(all.data.compactMap { $0["type"] as? String }).isSuperset(of: ["sender.disconnected", "sender.removed"]), "\(all.text)")
        }
    }

    @Test func `every route asks for its scope, and other accounts have nothing of this one`() async throws {
        try await withAPI { api in
            let id = try await api.addWebhook()
            let reader = try await api.test.gateway.apiKeys.create(account: api.account, label: "r", test: true, scopes: [.read], now: api.test.now)
                .secret
            let sender = try await api.test.gateway.apiKeys.create(account: api.account, label: "s", test: true, scopes: [.send], now: api.test.now)
                .secret
            let other = try await api.test.gateway.accounts.create(name: "Warung", now: api.test.now).id
            let foreign = try await api.test.gateway.apiKeys.create(account: other, label: "o", test: true, now: api.test.now).secret
            let body = #"{"url": "https://example.com"}"#
            let replay = #"{"from": "2026-01-01T00:00:00Z", "before": "2027-01-01T00:00:00Z"}"#
            let routes: [(String, String, String?, write: Bool)] = [
                ("GET", "/v1/webhook-endpoints", nil, false), ("POST", "/v1/webhook-endpoints", body, true),
                ("GET", "/v1/webhook-endpoints/\(id)", nil, false), ("PATCH", "/v1/webhook-endpoints/\(id)", "{}", true),
                ("GET", "/v1/webhook-endpoints/\(id)/deliveries", nil, false), ("POST", "/v1/webhook-endpoints/\(id)/test", nil, true),
                ("POST", "/v1/webhook-endpoints/\(id)/rotate-secret", nil, true), ("GET", "/v1/events", nil, false),
                ("POST", "/v1/events/replay", replay, true), ("DELETE", "/v1/webhook-endpoints/\(id)", nil, true),
            ]
            for (method, path, body, write) in routes {
                let verb = try #require(HTTPRequest.Method(rawValue: method))
                #expect(try await api.call(verb, path, body, key: "").status == 401)
                #expect(try await api.call(verb, path, body, key: sender).code == "missing_scope", "\(method) \(path)")
                #expect((try await api.call(verb, path, body, key: reader).code == "missing_scope") == write, "\(method) \(path)")
                if path.contains(id) { #expect(try await api.call(verb, path, body, key: foreign).code == "not_found", "\(method) \(path)") }
            }
            #expect(try await api.call(.get, "/v1/webhook-endpoints", key: foreign).data.isEmpty)
        }
    }

    @Test func `a test is sent once in ten seconds, and says where it was limited`() async throws {
        try await withAPI { api in
            let path = "/v1/webhook-endpoints/\(try await api.addWebhook())"
            let first = try await api.call(.post, path + "/test", headers: ["Idempotency-Key": "t"])
            let same = try await api.call(.post, path + "/test", headers: ["Idempotency-Key": "t"])
            let second = try await api.call(.post, path + "/test")
            api.test.clock.advance(by: 9.5)
            let third = try await api.call(.post, path + "/test")
            api.test.clock.advance(by: 0.5)
            let fourth = try await api.call(.post, path + "/test")
            try await api.answerWebhooks()
            let log = try await api.call(.get, path + "/deliveries?limit=1")
            let done = try await api.call(.get, path + "/deliveries?status=delivered")

            #expect(first.status == 202 && (first.json["event"] as? String)?.hasPrefix("evt_") == true && same.bytes == first.bytes)
            #expect(same.header("Idempotent-Replayed") == "true")
            #expect(second.status == 429 && second.header("Retry-After") == "10" && second.json["limit"] as? String == "webhook_test")
            #expect(third.status == 429 && third.header("Retry-After") == "1" && fourth.status == 202)
            #expect(
                log.data.count == 1 && log.json["has_more"] as? Bool == true && log.json["next_cursor"] as? String == log.data[0]["event"] as? String)
            #expect(done.data.count == 3 && done.data.allSatisfy { ($0["attempts"] as? [[String: Any]])?.first?["status"] as? Int == 200 })
            #expect(try await api.call(.get, path + "/deliveries?status=lost").places == ["/status invalid_value"])
        }
    }

    @Test func `a secret is rotated, shown once, and an ed25519 endpoint shows its public key always`() async throws {
        try await withAPI { api in
            let path = "/v1/webhook-endpoints/\(try await api.addWebhook())/rotate-secret"
            let first = try await api.call(.post, path, #"{"overlap_seconds": 60}"#, headers: ["Idempotency-Key": "r"])
            let again = try await api.call(.post, path, #"{"overlap_seconds": 60}"#, headers: ["Idempotency-Key": "r"])
            let other = try await api.call(.post, path, headers: ["Idempotency-Key": "r"])
            let made = try await api.call(.post, "/v1/webhook-endpoints", #"{"url": "https://e.example", "signing": "ed25519"}"#)
            let rotated = try await api.call(.post, "/v1/webhook-endpoints/\(made.id)/rotate-secret")

            #expect(first.status == 200 && (first.json["secret"] as? String)?.hasPrefix("whsec_") == true)
            #expect(first.json["previous_secret_until"] as? String == Timestamp.text(api.test.now.addingTimeInterval(60)))
            #expect(
                again.json["secret"] is NSNull && again.json["code"] as? String == "secret_already_shown" && other.code == "idempotency_key_reused")
            #expect(made.json["secret"] == nil && (made.json["public_key"] as? String)?.hasPrefix("whpk_") == true)
            #expect(rotated.json["public_key"] as? String != made.json["public_key"] as? String && rotated.json["secret"] == nil)
        }
    }

    @Test func `events are pulled page by page and pushed again`() async throws {
        try await withAPI { api in
            let id = try await api.addWebhook()
            let message = try await api.call(.post, "/v1/messages", TestAPI.message(more: #", "reference": "order-17""#))
            _ = try await api.call(.post, "/v1/messages/\(message.id)/cancel")
            _ = try await api.test.gateway.senders.recordState(api.owner, .disconnected, now: api.test.now)
            let first = try await api.call(.get, "/v1/events?limit=1")
            let cursor = try #require(first.json["next_cursor"] as? String)
            let second = try await api.call(.get, "/v1/events?after=\(cursor)")
            let end = try #require(second.json["next_cursor"] as? String)
            let third = try await api.call(.get, "/v1/events?after=\(end)")
            let senders = try await api.call(.get, "/v1/events?types=sender.disconnected,sender.ready")
            try await api.answerWebhooks()
            let event = try #require(first.data.first?["id"] as? String)
            let replay = try await api.call(.post, "/v1/events/replay", #"{"events": ["\#(event)"]}"#, headers: ["Idempotency-Key": "p"])
            let same = try await api.call(.post, "/v1/events/replay", #"{"events": ["\#(event)"]}"#, headers: ["Idempotency-Key": "p"])
            let due = try await api.call(.get, "/v1/webhook-endpoints/\(id)/deliveries?status=pending")

            #expect(first.data.count == 1 && first.json["has_more"] as? Bool == true && second.data.count == 1, "\(first.text) \(second.text)")
            let data = try #require(first.data.first?["data"] as? [String: Any])
            #expect(
                first.data[0]["type"] as? String == "message.canceled" && data["message"] as? String == message.id
                    && data["reference"] as? String == "order-17")
            #expect(data["to"] == nil && data["sequence"] as? Int == 2 && data["test"] as? Bool == true)
            #expect(third.data.isEmpty && third.json["has_more"] as? Bool == false && (third.json["next_cursor"] as? String)?.isEmpty == false)
            #expect(senders.data.map { $0["type"] as? String } == ["sender.disconnected"])
            #expect(replay.status == 202 && replay.json["queued"] as? Int == 1 && replay.json["has_more"] as? Bool == false)
            #expect(same.header("Idempotent-Replayed") == "true" && same.bytes == replay.bytes)
            #expect(due.data.map { $0["event"] as? String } == [event])
            let bad: [(String, [String])] = [
                ("{}", ["/events required"]), (#"{"events": []}"#, ["/events too_many"]), (#"{"events": ["x"]}"#, ["/events invalid_id"]),
                (#"{"events": ["\#(event)"], "from": "2026-01-01T00:00:00Z"}"#, ["/events conflict"]),
                (#"{"from": "2026-01-02T00:00:00Z", "before": "2026-01-01T00:00:00Z"}"#, ["/before conflict"]),
                (#"{"from": "today", "before": "2026-01-01T00:00:00Z"}"#, ["/from not_a_time"]),
                (#"{"from": "2026-01-01T00:00:00Z"}"#, ["/events required"]),
                (#"{"events": ["\#(event)"], "types": ["message.lost"], "endpoint": "whk_1"}"#, ["/endpoint invalid_id", "/types invalid_value"]),
            ]
            for (body, places) in bad {
                let answer = try await api.call(.post, "/v1/events/replay", body)
                #expect(answer.status == 422 && answer.places == places, "\(body): \(answer.text)")
            }
            for query in ["after=x", "after=", "types=message.lost", "limit=201", "limit=0", "since=1"] {
                #expect(try await api.call(.get, "/v1/events?\(query)").status == 422, "\(query)")
            }
        }
    }

    @Test func `answers about webhooks have the members that openapi.yaml declares, and its closed lists are the code's`() async throws {
        let contract = try Contract()
        let text = try Repository.text("Sources/gateway/Docs/openapi.yaml")
        #expect(text.contains("enum: [\(EventType.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(text.contains("enum: [\(WebhookEndpoint.State.allCases.map(\.rawValue).joined(separator: ", "))]"))
        #expect(text.contains("enum: [\(WebhookEndpoint.DisabledReason.allCases.map(\.rawValue).joined(separator: ", ")), null]"))
        #expect(text.contains("enum: [\(WebhookDelivery.State.allCases.map(\.rawValue).joined(separator: ", "))]"))
        let page = try Repository.text("Sources/gateway/Docs/webhooks.md")
        for type in EventType.allCases { #expect(page.contains("`\(type.rawValue)`"), "\(type.rawValue)") }
        for reason in WebhookEndpoint.DisabledReason.allCases { #expect(page.contains("`\(reason.rawValue)`")) }
        try await withAPI { api in
            let made = try await api.call(.post, "/v1/webhook-endpoints", #"{"url": "https://example.com", "include_recipient": true}"#)
            let again = try await api.call(.get, "/v1/webhook-endpoints/\(made.id)")
            try await api.answerWebhooks()
            let test = try await api.call(.post, "/v1/webhook-endpoints/\(made.id)/test")
            let message = try await api.call(.post, "/v1/messages", TestAPI.message(more: #", "reference": "order-17", "metadata": {"k": "v"}"#))
            _ = try await api.call(.post, "/v1/messages/\(message.id)/cancel")
            let bodies = try await api.answerWebhooks(status: 500).map { try JSONSerialization.jsonObject(with: Data($0)) as? [String: Any] ?? [:] }
            let log = try await api.call(.get, "/v1/webhook-endpoints/\(made.id)/deliveries")
            let events = try await api.call(.get, "/v1/events")
            let replay = try await api.call(.post, "/v1/events/replay", #"{"events": ["\#(events.data[0]["id"] as? String ?? "")"]}"#)
            let list = try await api.call(.get, "/v1/webhook-endpoints")

            var answers: [(String, [String: Any])] = [
                ("CreatedWebhookEndpoint", made.json), ("WebhookEndpoint", again.json), ("QueuedEvent", test.json), ("WebhookDeliveryList", log.json),
                ("WebhookEventList", events.json), ("Replay", replay.json), ("WebhookEndpointList", list.json),
            ]
            answers += log.data.map { ("WebhookDelivery", $0) } + events.data.map { ("WebhookEvent", $0) } + bodies.map { ("WebhookEvent", $0) }
            answers += log.data.flatMap { ($0["attempts"] as? [[String: Any]] ?? []).map { ("WebhookAttempt", $0) } }
            answers += bodies.map { ("WebhookEventData", $0["data"] as? [String: Any] ?? [:]) }
            #expect(bodies.contains { ($0["data"] as? [String: Any])?["to"] as? String == "+628123456789" })
            #expect(answers.count > 14)
            for (schema, answer) in answers {
                let declared = try #require(contract.schemas[schema])
                #expect(Set(answer.keys).isSubset(of: declared.members), "\(schema): \(answer.keys.sorted())")
                #expect(Set(answer.keys).isSuperset(of: declared.required), "\(schema): \(answer.keys.sorted())")
                #expect(!declared.required.isEmpty)
            }
        }
    }
}

extension TestAPI {
    /// An endpoint that has answered its challenge.
    func addWebhook() async throws -> String {
        let made = try await call(.post, "/v1/webhook-endpoints", #"{"url": "https://example.com/hook"}"#)
        try await answerWebhooks()
        return made.id
    }

    /// Does what the engine does with everything that is due, as if all receivers answered with that status; the bodies that they got.
    @discardableResult
    func answerWebhooks(status: Int = 200) async throws -> [[UInt8]] {
        var position: EndpointPlace?
        let webhooks = test.gateway.webhooks
        let due = try await webhooks.due(from: &position, now: test.now)
        let claimed = try await webhooks.claim(due.map { ($0, 100) }, concurrency: 100, now: test.now, deadline: test.now.addingTimeInterval(60))
        for delivery in claimed {
            let ending = DeliveryReport.Ending.answered(status: status, wait: nil, hasChallenge: true)
            try await webhooks.record(DeliveryReport(delivery, ending, startedAt: test.now, duration: .zero))
        }
        return claimed.map(\.body)
    }
}
