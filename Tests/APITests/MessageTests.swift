import Domain
import Foundation
import TestSupport
import Testing

@Suite struct MessageTests {
    @Test func `a message is accepted, found, listed, and has its first event`() async throws {
        try await withAPI { api in
            let more = #", "reference": "order-17", "metadata": {"k": "v"}, "route": {"sender": "\#(api.sender)"}, "expires_at": null"#
            let accepted = try await api.call(.post, "/v1/messages", TestAPI.message(more: more))
            let found = try await api.call(.get, "/v1/messages/\(accepted.id)")
            let list = try await api.call(.get, "/v1/messages")
            let events = try await api.call(.get, "/v1/messages/\(accepted.id)/events")

            #expect(accepted.status == 202)
            #expect(accepted.headers[.location] == "/v1/messages/\(accepted.id)")
            #expect(accepted.json["status"] as? String == "queued" && accepted.json["to"] as? String == "+628123456789")
            #expect(accepted.json["created_at"] as? String == "2026-05-28T20:26:40.000Z")
            #expect((accepted.json["sender"] as? [String: Any])?["id"] as? String == "\(api.sender)")
            #expect(found.status == 200 && found.json["reference"] as? String == "order-17")
            #expect(found.json["metadata"] as? [String: String] == ["k": "v"])
            #expect(list.data.map { $0["id"] as? String } == [accepted.id] && list.json["has_more"] as? Bool == false)
            #expect(list.json["next_cursor"] is NSNull)
            #expect(events.data.map { $0["status"] as? String } == ["queued"] && events.data.first?["sequence"] as? Int == 1)
            #expect(try await api.call(.head, "/v1/messages/\(accepted.id)").bytes.isEmpty)
        }
    }

    @Test func `a scheduled message is shown with its wishes, and a sent one with its attempts`() async throws {
        try await withAPI { api in
            let more = #", "send_at": "2026-05-29T08:00:00+07:00", "ttl": 600, "priority": "low", "store": "none", "at_most_once": true"#
            let scheduled = try await api.call(.post, "/v1/messages", TestAPI.message(more: more))
            let queued = try await api.call(.post, "/v1/messages", TestAPI.message())
            let outbox = api.test.gateway.outbox
            let claimed = try #require(
                try await outbox.claim(limit: 5, owned: [api.owner], now: api.test.now, deadline: api.test.now.addingTimeInterval(20)).first)
            api.test.clock.advance(by: 0.25)
            try await outbox.preWire(claimed, owner: api.owner, now: api.test.now)
            api.test.clock.advance(by: 0.5)
            _ = try await outbox.acknowledge(Acknowledged(message: claimed.id, owner: api.owner, wireID: claimed.wireID), now: api.test.now)
            let sent = try await api.call(.get, "/v1/messages/\(queued.id)")

            #expect(scheduled.status == 202 && scheduled.json["status"] as? String == "scheduled", "\(scheduled.text)")
            #expect(scheduled.json["send_at"] as? String == "2026-05-29T01:00:00.000Z")
            #expect(scheduled.json["expires_at"] as? String == "2026-05-29T01:10:00.000Z")
            #expect(scheduled.json["estimated_send_at"] as? String == "2026-05-29T01:00:00.000Z")
            #expect(scheduled.json["priority"] as? String == "low" && scheduled.json["store"] as? String == "none")
            #expect(scheduled.json["moves"] as? Int == 0 && scheduled.json["limited_by"] is NSNull && scheduled.json["attempts"] == nil)
            #expect("\(claimed.id)" == queued.id)
            #expect(sent.json["status"] as? String == "sent" && sent.json["estimated_send_at"] == nil, "\(sent.text)")
            let attempts = try #require(sent.json["attempts"] as? [[String: Any]])
            #expect(attempts.count == 1 && attempts.first?["outcome"] as? String == "acknowledged")
            #expect(attempts.first?["number"] as? Int == 1 && attempts.first?["ack_ms"] as? Int == 500)
        }
    }

    @Test func `lists go page by page, newest first, and obey their filters`() async throws {
        try await withAPI { api in
            var ids: [String] = []
            for number in 0..<5 {
                api.test.clock.advance(by: 1)
                let to = number == 2 ? "+6281000000002" : "+628123456789"
                ids.append(try await api.call(.post, "/v1/messages", TestAPI.message(to: to, more: #", "reference": "r\#(number)""#)).id)
            }
            var seen: [String] = []
            var cursor: String? = ""
            while let current = cursor {
                let page = try await api.call(.get, "/v1/messages?limit=2\(current.isEmpty ? "" : "&cursor=\(current)")")
                seen += page.data.compactMap { $0["id"] as? String }
                cursor = page.json["next_cursor"] as? String
            }
            func matching(_ query: String) async throws -> [String] {
                try await api.call(.get, "/v1/messages?\(query)").data.compactMap { $0["id"] as? String }
            }

            #expect(seen == ids.reversed())
            #expect(try await matching("to=%2B6281000000002") == [ids[2]])
            #expect(try await matching("reference=r3") == [ids[3]])
            #expect(try await matching("status=queued&sender=\(api.sender)") == seen)
            #expect(try await matching("status=sent").isEmpty)
            #expect(try await matching("created_from=2026-05-28T20:26:44Z") == [ids[4], ids[3]])
            #expect(try await matching("created_before=2026-05-29T03:26:42%2B07:00") == [ids[0]])
        }
    }

    @Test func `a query that cannot be read is refused, place by place`() async throws {
        try await withAPI { api in
            let wrong = try await api.call(
                .get, "/v1/messages?limit=201&cursor=x&status=gone&sender=1&to=08123&reference=&created_from=now&staus=sent&limit=1")
            #expect(wrong.status == 422 && wrong.code == "invalid_request")
            #expect(
                Set(wrong.places) == [
                    "/limit out_of_range", "/limit duplicate", "/cursor invalid_id", "/status invalid_value", "/sender invalid_id",
                    "/to invalid_number", "/reference invalid_value", "/created_from not_a_time", "/staus unknown_field",
                ])
            #expect(try await api.call(.get, "/v1/senders?limit=0").places == ["/limit out_of_range"])
        }
    }

    @Test func `a repeated idempotency key answers the same, another body is refused`() async throws {
        try await withAPI { api in
            let key = ["Idempotency-Key": "order-17"]
            let near = #", "expires_at": "2026-05-28T20:27:20Z""#
            let first = try await api.call(.post, "/v1/messages", TestAPI.message(more: near), headers: key)
            let rows = try await api.rows()
            api.test.clock.advance(by: 60)
            let again = try await api.call(.post, "/v1/messages", TestAPI.message(more: near), headers: key)
            let other = try await api.call(.post, "/v1/messages", TestAPI.message("other"), headers: key)
            let late = try await api.call(.post, "/v1/messages", TestAPI.message(more: near), headers: ["Idempotency-Key": "order-18"])

            #expect(first.status == 202 && first.header("Idempotent-Replayed") == nil)
            #expect(again.status == 202 && again.header("Idempotent-Replayed") == "true")
            #expect(again.bytes == first.bytes && again.headers[.location] == first.headers[.location])
            #expect(other.status == 422 && other.code == "idempotency_key_reused")
            #expect(late.status == 422 && late.places == ["/expires_at too_early"])
            #expect(try await api.rows() == rows)
        }
    }

    @Test func `a hundred requests at once under one key make one message`() async throws {
        try await withAPI { api in
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<100 {
                    group.addTask { try await api.call(.post, "/v1/messages", TestAPI.message(), headers: ["Idempotency-Key": "once"]) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            // Who would wait for the first one for too long is told so.
            let accepted = answers.filter { $0.status == 202 }
            let others = answers.filter { $0.status != 202 }
            let repeated = try await api.call(.post, "/v1/messages", TestAPI.message(), headers: ["Idempotency-Key": "once"])
            #expect(others.allSatisfy { $0.status == 409 && $0.code == "idempotency_in_progress" }, "\(Set(others.map(\.code)))")
            #expect(Set(accepted.map(\.id)) == [repeated.id] && repeated.header("Idempotent-Replayed") == "true")
            #expect(accepted.filter { $0.header("Idempotent-Replayed") == nil }.count == 1)
            #expect(try await api.test.count("SELECT 1 AS one FROM messages") == 1)
        }
    }

    @Test func `another account's message is not there, in the same words as one that never was`() async throws {
        try await withAPI { api in
            let (other, _, _) = try await api.test.makeReadySender()
            let foreign = try await api.test.gateway.messages.accept(
                api.test.message(), caller: Caller(account: other, isTest: true), idempotencyKey: nil, now: api.test.now
            ).message.id
            let absent = Message.ID.make(at: api.test.now, random: TestRandom())
            for suffix in ["", "/events"] {
                var answers = [
                    try await api.call(.get, "/v1/messages/\(foreign)\(suffix)"), try await api.call(.get, "/v1/messages/\(absent)\(suffix)"),
                ]
                .map { answer in answer.json.filter { $0.key != "request_id" }.mapValues { "\($0)" } }
                #expect(answers[0]["code"] == "not_found")
                #expect(answers.removeFirst() == answers.removeFirst())
            }
            #expect(try await api.call(.get, "/v1/messages/msg_1").status == 404)
        }
    }

    @Test func `a national number is read with the account's calling code, and refused without one`() async throws {
        try await withAPI { api in
            let home = try await api.test.gateway.accounts.create(name: "Toko", defaultCallingCode: "62", now: api.test.now).id
            _ = try await api.test.makeReadySender(account: home)
            let key = try await api.test.gateway.apiKeys.create(account: home, label: "shop", test: true, now: api.test.now).secret
            let accepted = try await api.call(.post, "/v1/messages", TestAPI.message(to: "08123456789"), key: key)
            #expect(accepted.status == 202 && accepted.json["to"] as? String == "+628123456789")
            #expect(try await api.call(.post, "/v1/messages", TestAPI.message(to: "08123456789")).places == ["/to invalid_number"])
        }
    }
}
