import Domain
import Foundation
import TestSupport
import Testing

@Suite struct ExplainTests {
    @Test func `explain names the sender and the reason that the message then gets, and writes nothing`() async throws {
        try await withAPI { api in
            let second = try await api.addSender("CS 2")
            let third = try await api.addSender("CS 3")
            let pool = try await api.call(
                .post, "/v1/pools",
                #"{"name": "a", "policy": "sticky", "members": [{"sender": "\#(api.sender)"}, {"sender": "\#(second)"}, {"sender": "\#(third)"}]}"#)
            let policies = ["sticky", "round_robin", "weighted", "least_busy", "priority", "random", "prefix"]
            for number in 0..<21 {
                let more = #", "route": {"pool": "\#(pool.id)", "policy": "\#(policies[number % 7])"}"#
                let body = TestAPI.message(to: "+62812345678\(10 + number)", more: more)
                let before = try await api.rows()
                let explained = try await api.call(.post, "/v1/messages/explain", body)
                #expect(try await api.rows() == before)
                let accepted = try await api.call(.post, "/v1/messages", body)
                let route = accepted.json["route"] as? [String: Any]
                #expect(explained.status == 200 && accepted.status == 202, "\(explained.text) \(accepted.text)")
                #expect(
                    (explained.json["sender"] as? [String: Any])?["id"] as? String == (accepted.json["sender"] as? [String: Any])?["id"] as? String)
                #expect(explained.json["reason"] as? String == route?["reason"] as? String)
                #expect(explained.json["policy"] as? String == route?["policy"] as? String && explained.json["pool"] as? String == pool.id)
                let senders = try #require(explained.json["senders"] as? [[String: Any]])
                #expect(senders.count { $0["chosen"] as? Bool == true } == 1)
                #expect(Set(senders.compactMap { $0["id"] as? String }).isSuperset(of: ["\(api.sender)", "\(second)", "\(third)"]))
            }
        }
    }

    @Test func `it says why nobody may send, and fail_fast is then refused without a row`() async throws {
        try await withAPI { api in
            let route = #", "route": {"sender": "\#(api.sender)"}"#
            _ = try await api.test.gateway.senders.recordState(api.owner, .loggedOut, now: api.test.now)
            api.test.gateway.routing.forget(api.account)
            let before = try await api.rows()
            let waiting = try await api.call(.post, "/v1/messages/explain", TestAPI.message(more: route))
            let impatient = try await api.call(.post, "/v1/messages/explain", TestAPI.message(more: route + #", "fail_fast": true"#))
            let refused = try await api.call(
                .post, "/v1/messages", TestAPI.message(more: route + #", "fail_fast": true"#), headers: ["Idempotency-Key": "f"])
            #expect(try await api.rows() == before)
            let accepted = try await api.call(.post, "/v1/messages", TestAPI.message(more: route))

            #expect(waiting.status == 200 && waiting.json["waiting"] as? Bool == true && waiting.json["failure"] is NSNull, "\(waiting.text)")
            let sender = try #require((waiting.json["senders"] as? [[String: Any]])?.first { $0["id"] as? String == "\(api.sender)" })
            let verdict = sender["verdict"] as? [String: Any]
            #expect(verdict?["code"] as? String == "logged_out" && verdict?["sentence"] is String && verdict?["way_out"] is String)
            #expect(impatient.json["failure"] as? String == "no_sender_available" && impatient.json["sender"] is NSNull)
            #expect(refused.status == 409 && refused.code == "no_sender_available")
            #expect(accepted.status == 202 && accepted.json["status"] as? String == "queued")
        }
    }

    @Test func `what is wrong with a message is wrong with its explanation`() async throws {
        try await withAPI { api in
            let cases: [(more: String, places: [String])] = [
                (#", "route": {"policy": "best"}"#, ["/route/policy unsupported"]),
                (#", "route": {"sender": "snd_00000000000000000000000000"}"#, ["/route/sender unknown"]),
                (#", "route": {"pool": "pool_00000000000000000000000000"}"#, ["/route/pool unknown"]),
                (#", "expires_at": "2026-05-28T20:26:41Z""#, ["/expires_at too_early"]),
                (#", "more": 1"#, ["/more unknown_field"]),
            ]
            for bad in cases {
                let explained = try await api.call(.post, "/v1/messages/explain", TestAPI.message(more: bad.more))
                let accepted = try await api.call(.post, "/v1/messages", TestAPI.message(more: bad.more))
                #expect(explained.status == 422 && explained.places == bad.places, "\(bad.more): \(explained.text)")
                #expect(accepted.status == 422 && accepted.places == bad.places)
            }
            #expect(try await api.call(.get, "/v1/messages/explain").headers[.allow] == "POST")
        }
    }
}
