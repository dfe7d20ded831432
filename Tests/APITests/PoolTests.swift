import Domain
import Foundation
import TestSupport
import Testing

@Suite struct PoolTests {
    @Test func `pools are made, listed, read, changed and deleted`() async throws {
        try await withAPI { api in
            let second = try await api.addSender("CS 2")
            api.test.clock.advance(by: 1)
            let body = """
                {"name": "Support", "policy": "weighted", "members": [{"sender": "\(second)", "weight": 3}, {"sender": "\(api.sender)", "prefixes": ["+62", "60"]}],
                 "limits": {"per_minute": 20, "per_day": null}}
                """
            let made = try await api.call(.post, "/v1/pools", body)
            let path = "/v1/pools/\(made.id)"
            let found = try await api.call(.get, path)
            let list = try await api.call(.get, "/v1/pools")
            let first = try await api.call(.get, "/v1/pools?limit=1")
            let renamed = try await api.call(.patch, path, #"{"name": "Desk", "limits": {}}"#)
            let members = try await api.call(.patch, path, #"{"policy": "priority", "members": [{"sender": "\#(api.sender)"}]}"#)

            #expect(made.status == 201 && made.headers[.location] == path, "\(made.text)")
            #expect(made.bytes == found.bytes)
            #expect(made.json["policy"] as? String == "weighted" && made.json["is_default"] as? Bool == false)
            let shown = try #require(made.json["members"] as? [[String: Any]])
            #expect(shown.map { $0["sender"] as? String } == ["\(second)", "\(api.sender)"] && shown.map { $0["weight"] as? Int } == [3, 1])
            #expect(shown.map { $0["prefixes"] as? [String] } == [[], ["62", "60"]])
            let limits = try #require(made.json["limits"] as? [String: Any])
            #expect(limits["per_minute"] as? Int == 20 && limits["per_day"] is NSNull && limits.count == 2)
            #expect(list.data.count == 2 && list.data.first?["id"] as? String == made.id)
            #expect(first.data.count == 1 && first.json["next_cursor"] as? String == made.id)
            #expect(renamed.status == 200 && renamed.json["name"] as? String == "Desk" && (renamed.json["limits"] as? [String: Any])?.isEmpty == true)
            #expect((members.json["members"] as? [Any])?.count == 1 && members.json["policy"] as? String == "priority")
            #expect(try await api.call(.delete, path).status == 204)
            #expect(try await api.call(.get, path).code == "not_found")
            #expect(try await api.call(.delete, path).code == "not_found")
        }
    }

    @Test func `each bad pool has its own answer and leaves no row`() async throws {
        try await withAPI { api in
            let (_, foreign, _) = try await api.test.makeReadySender()
            let live = try await api.addLive()
            let before = try await api.rows()
            let member = #""members": [{"sender": "\#(api.sender)"}]"#
            let many = (0..<1_001).map { _ in #"{"sender": "\#(api.sender)"}"# }.joined(separator: ",")
            let cases: [(body: String, places: [String])] = [
                ("{}", ["/name required", "/members required"]),
                (#"{"name": "a", "members": []}"#, ["/members empty_pool"]),
                (#"{"name": "", \#(member)}"#, ["/name invalid_value"]),
                (#"{"name": "a", "policy": "best", \#(member)}"#, ["/policy unknown_policy"]),
                (#"{"name": "a", "policy": "explicit", \#(member)}"#, ["/policy unknown_policy"]),
                (#"{"name": "a", "members": [{"sender": "\#(foreign)"}]}"#, ["/members/0/sender sender_not_found"]),
                (#"{"name": "a", "members": [{"sender": "\#(live.sender)"}]}"#, ["/members/0/sender sender_not_found"]),
                (#"{"name": "a", "members": [{"sender": "x"}]}"#, ["/members/0/sender invalid_id"]),
                (#"{"name": "a", "members": [{}]}"#, ["/members/0/sender required"]),
                (#"{"name": "a", "members": "x"}"#, ["/members wrong_type"]),
                (#"{"name": "a", "members": [\#(many)]}"#, ["/members too_many"]),
                (
                    #"{"name": "a", "members": [{"sender": "\#(api.sender)", "weight": 1001}, {"sender": "\#(api.sender)", "prefixes": ["0"]}]}"#,
                    ["/members/0/weight out_of_range", "/members/1/prefixes/0 invalid_value", "/members/1/sender duplicate"]
                ),
                (#"{"name": "a", \#(member), "limits": {"per_minute": 20, "per_hour": 10}}"#, ["/limits/per_minute conflict"]),
                (#"{"name": "a", \#(member), "limits": {"warm_up": true}}"#, ["/limits/warm_up unsupported"]),
                (#"{"name": "a", \#(member), "extra": 1}"#, ["/extra unknown_field"]),
            ]
            for bad in cases {
                let answer = try await api.call(.post, "/v1/pools", bad.body)
                #expect(
                    answer.status == 422 && answer.code == "invalid_request" && answer.places == bad.places, "\(bad.body.prefix(90)): \(answer.text)")
            }
            #expect(try await api.rows() == before)
        }
    }

    @Test func `one pool is always the default one`() async throws {
        try await withAPI { api in
            let live = try await api.addLive()
            let old = try #require(try await api.call(.get, "/v1/pools").data.first?["id"] as? String)
            let made = try await api.call(
                .post, "/v1/pools", #"{"name": "a", "members": [{"sender": "\#(api.sender)"}], "is_default": true}"#, key: live.key)
            let pools = try await api.call(.get, "/v1/pools", key: live.key).data
            let undo = try await api.call(.patch, "/v1/pools/\(made.id)", #"{"is_default": false}"#, key: live.key)
            let deleted = try await api.call(.delete, "/v1/pools/\(made.id)", key: live.key)
            let message = try await api.call(.post, "/v1/messages", TestAPI.message())

            #expect(made.status == 201 && made.json["is_default"] as? Bool == true, "\(made.text)")
            #expect(pools.filter { $0["is_default"] as? Bool == true }.map { $0["id"] as? String } == [made.id])
            #expect(undo.status == 422 && undo.places == ["/is_default unsupported"])
            #expect(deleted.status == 409 && deleted.code == "default_pool")
            #expect((message.json["route"] as? [String: Any])?["pool"] as? String == made.id)
            #expect(try await api.call(.delete, "/v1/pools/\(old)", key: live.key).status == 204)
        }
    }

    @Test func `a test key changes neither the default pool nor one with live senders, and sees test senders only`() async throws {
        try await withAPI { api in
            let live = try await api.addLive()
            let mixed = try await api.call(
                .post, "/v1/pools", #"{"name": "a", "members": [{"sender": "\#(live.sender)"}, {"sender": "\#(api.sender)"}]}"#, key: live.key)
            let standard = try #require(try await api.call(.get, "/v1/pools").data.first { $0["is_default"] as? Bool == true }?["id"] as? String)
            let before = try await api.rows()
            for path in ["/v1/pools/\(mixed.id)", "/v1/pools/\(standard)"] {
                #expect(try await api.call(.patch, path, #"{"name": "b"}"#).code == "live_key_required")
                #expect(try await api.call(.delete, path).code == "live_key_required")
            }
            let own = #"{"name": "b", "members": [{"sender": "\#(api.sender)"}], "is_default": true}"#
            #expect(try await api.call(.post, "/v1/pools", own).code == "live_key_required")
            let seen = try await api.call(.get, "/v1/pools/\(mixed.id)").json["members"] as? [Any]
            let all = try await api.call(.get, "/v1/pools/\(mixed.id)", key: live.key).json["members"] as? [Any]
            #expect(seen?.count == 1 && all?.count == 2)
            #expect(try await api.rows() == before)
        }
    }

    @Test func `a repeated idempotency key makes one pool`() async throws {
        try await withAPI { api in
            let key = ["Idempotency-Key": "pool-1"]
            let body = #"{"name": "a", "members": [{"sender": "\#(api.sender)"}]}"#
            let first = try await api.call(.post, "/v1/pools", body, headers: key)
            let rows = try await api.rows()
            let again = try await api.call(.post, "/v1/pools", body, headers: key)
            let other = try await api.call(.post, "/v1/pools", body.replacingOccurrences(of: #""a""#, with: #""b""#), headers: key)

            #expect(first.status == 201 && again.status == 201 && again.bytes == first.bytes && again.header("Idempotent-Replayed") == "true")
            #expect(other.status == 422 && other.code == "idempotency_key_reused")
            #expect(try await api.rows() == rows)
        }
    }
}
