import Domain
import Foundation
import TestSupport
import Testing

@Suite struct CancelTests {
    @Test func `a queued message is canceled, and a second time is the same`() async throws {
        try await withAPI { api in
            let id = try await api.call(.post, "/v1/messages", TestAPI.message()).id
            let canceled = try await api.call(.post, "/v1/messages/\(id)/cancel", headers: ["Idempotency-Key": "c"])
            let again = try await api.call(.post, "/v1/messages/\(id)/cancel", "{}")

            #expect(canceled.status == 200 && canceled.json["status"] as? String == "canceled" && canceled.id == id)
            #expect(again.status == 200 && again.json["status"] as? String == "canceled")
            #expect(try await api.test.count("SELECT 1 AS one FROM outbox") == 0)
            let claimed = try await api.test.gateway.outbox.claim(
                limit: 10, owned: [api.owner], now: api.test.now, deadline: api.test.now.addingTimeInterval(20))
            #expect(claimed.isEmpty)
        }
    }

    @Test func `a message whose bytes may have left is refused with its state`() async throws {
        try await withAPI { api in
            let id = try await api.call(.post, "/v1/messages", TestAPI.message()).id
            let outbox = api.test.gateway.outbox
            let claimed = try #require(
                try await outbox.claim(limit: 1, owned: [api.owner], now: api.test.now, deadline: api.test.now.addingTimeInterval(20)).first)
            try await outbox.preWire(claimed, owner: api.owner, now: api.test.now)
            let sending = try await api.call(.post, "/v1/messages/\(id)/cancel")
            #expect(sending.status == 409 && sending.code == "message_not_cancelable" && sending.json["state"] as? String == "sending")
            #expect(try await api.call(.get, "/v1/messages/\(id)").json["status"] as? String == "sending")
        }
    }

    @Test func `what is no message of the account, or carries a body, is refused`() async throws {
        try await withAPI { api in
            let id = try await api.call(.post, "/v1/messages", TestAPI.message()).id
            let absent = Message.ID.make(at: api.test.now, random: TestRandom())
            #expect(try await api.call(.post, "/v1/messages/\(absent)/cancel").code == "not_found")
            #expect(try await api.call(.post, "/v1/messages/x/cancel").code == "not_found")
            let body = try await api.call(.post, "/v1/messages/\(id)/cancel", #"{"reason": "x"}"#)
            #expect(body.status == 422 && body.places == ["/reason unknown_field"])
            #expect(try await api.call(.get, "/v1/messages/\(id)/cancel").headers[.allow] == "POST")
            let reader = try await api.test.gateway.apiKeys.create(
                account: api.account, label: "reader", test: true, scopes: [.read], now: api.test.now
            ).secret
            #expect(try await api.call(.post, "/v1/messages/\(id)/cancel", key: reader).code == "missing_scope")
            #expect(try await api.call(.get, "/v1/messages/\(id)").json["status"] as? String == "queued")
        }
    }
}
