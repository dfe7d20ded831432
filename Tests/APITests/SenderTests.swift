import Domain
import Foundation
import TestSupport
import Testing

@Suite struct SenderTests {
    @Test func `senders are made, listed, read and removed`() async throws {
        try await withAPI { api in
            api.test.clock.advance(by: 1)
            let made = try await api.call(.post, "/v1/senders", #"{"label": "CS 2"}"#)
            let first = try await api.call(.get, "/v1/senders?limit=1")
            let second = try await api.call(.get, "/v1/senders?limit=1&cursor=\(made.id)")
            let removed = try await api.call(.delete, "/v1/senders/\(made.id)")

            #expect(made.status == 201 && made.headers[.location] == "/v1/senders/\(made.id)")
            #expect(made.json["label"] as? String == "CS 2" && made.json["test"] as? Bool == true)
            #expect((made.json["state"] as? [String: Any])?["code"] as? String == "unpaired")
            #expect(first.data.first?["id"] as? String == made.id && first.json["next_cursor"] as? String == made.id)
            #expect(second.data.first?["id"] as? String == "\(api.sender)" && second.json["has_more"] as? Bool == false)
            #expect(try await api.call(.get, "/v1/senders/\(api.sender)").json["number"] as? String == "+6281200000001")
            #expect(removed.status == 202 && (removed.json["state"] as? [String: Any])?["code"] as? String == "removed")
            #expect(try await api.call(.get, "/v1/senders/\(made.id)").status == 404)
            #expect(try await api.call(.delete, "/v1/senders/\(made.id)").status == 404)
            #expect(try await api.call(.post, "/v1/senders", #"{"label": ""}"#).places == ["/label invalid_value"])
            #expect(try await api.call(.post, "/v1/senders", #"{"name": "x"}"#).places == ["/name unknown_field"])
        }
    }

    @Test func `a repeated idempotency key makes one sender, and none for another request`() async throws {
        try await withAPI { api in
            let key = ["Idempotency-Key": "sender-1"]
            let body = #"{"label": "CS 2"}"#
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<8 { group.addTask { try await api.call(.post, "/v1/senders", body, headers: key) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let rows = try await api.rows()
            _ = try await api.call(.delete, "/v1/senders/\(answers[0].id)")
            api.test.clock.advance(by: 3600)
            let late = try await api.call(.post, "/v1/senders", body, headers: key)
            let other = try await api.call(.post, "/v1/senders", #"{"label": "CS 3"}"#, headers: key)
            let message = try await api.call(.post, "/v1/messages", TestAPI.message(), headers: key)

            #expect(answers.allSatisfy { $0.status == 201 } && Set(answers.map(\.bytes)).count == 1)
            #expect(answers.filter { $0.header("Idempotent-Replayed") == "true" }.count == 7)
            #expect(late.bytes == answers[0].bytes && late.headers[.location] == answers[0].headers[.location])
            #expect(other.status == 422 && other.code == "idempotency_key_reused")
            #expect(message.status == 422 && message.code == "idempotency_key_reused")
            #expect(try await api.rows() == rows)

            api.test.clock.advance(by: 72 * 3600)
            let anew = try await api.call(.post, "/v1/senders", body, headers: key)
            #expect(anew.status == 201 && anew.id != answers[0].id)
        }
    }

    @Test func `a pairing shows its code as JSON and SVG, and its stream ends when it is paired`() async throws {
        try await withAPI { api in
            let id = try Sender.ID(try await api.call(.post, "/v1/senders", "{}").id)
            let path = "/v1/senders/\(id)/pairing"
            let idle = try await api.call(.get, path)
            let started = try await api.call(.post, path, headers: ["Idempotency-Key": "p"])
            let owner = try #require(
                try await api.test.gateway.leases.acquire(node: "node-1", limit: 100).first { $0.owner.sender == id }?.owner)
            let none = try await api.call(.get, path, headers: ["Accept": "image/svg+xml"])
            let code = Pairing.Code(text: "2@qr,text", validUntil: api.test.now.addingTimeInterval(20))
            #expect(try await api.test.gateway.pairing.publish(owner, code: code, now: api.test.now))
            let showing = try await api.call(.get, path)
            let drawn = try await api.call(.get, path, headers: ["Accept": "image/svg+xml"])
            async let streamed = api.call(.get, path, headers: ["Accept": "text/event-stream"])
            let number = try E164(digits: "6281200000002")
            try await api.test.gateway.databases.engine.transaction(Databases.accounts([api.account])) { transaction in
                try await api.test.gateway.senders.paired(owner, number: number, in: transaction, now: api.test.now)
            }
            let stream = try await streamed

            #expect(idle.json["state"] as? String == "ended" && idle.json["reason"] as? String == "not_requested")
            #expect(started.status == 202 && started.json["state"] as? String == "waiting")
            #expect(none.status == 404)
            #expect(showing.json["state"] as? String == "showing" && showing.json["qr"] as? String == "2@qr,text")
            #expect(showing.json["expires_at"] as? String == "2026-05-28T20:27:00.000Z")
            #expect(showing.headers[.cacheControl] == "no-store")
            #expect(drawn.headers[.contentType] == "image/svg+xml" && drawn.text.hasPrefix("<svg") && !drawn.text.contains("qr,text"))
            #expect(stream.headers[.contentType] == "text/event-stream")
            #expect(stream.text.hasSuffix("event: pairing\ndata: {\"sender\":\"\(id)\",\"state\":\"paired\"}\n\n"))
            #expect(try await api.call(.get, path).json["state"] as? String == "paired")
            #expect(try await api.call(.post, path).code == "already_paired")
            #expect(try await api.call(.post, path, #"{"method": "code"}"#).places == ["/method unknown_field"])
        }
    }

    @Test func `the stream ends with a pairing that has failed, and a logged out sender can pair again`() async throws {
        try await withAPI { api in
            let path = "/v1/senders/\(api.sender)/pairing"
            _ = try await api.test.gateway.senders.recordState(api.owner, .parked, code: "unknown_error", now: api.test.now)
            #expect(try await api.call(.post, path).json["state"] as? String == "waiting")
            #expect(try await api.call(.post, path).status == 202)
            try await api.test.gateway.pairing.finish(api.owner, code: "pairing_timeout", now: api.test.now)

            let stream = try await api.call(.get, path, headers: ["Accept": "text/event-stream"])

            #expect(stream.text.contains("\"reason\":\"pairing_timeout\"") && stream.text.contains("\"state\":\"ended\""))
        }
    }
}
