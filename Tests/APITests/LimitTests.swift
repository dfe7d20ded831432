import Domain
import Foundation
import TestSupport
import Testing

@Suite struct LimitTests {
    @Test func `limits are set as a whole, shown beside what was used, and hold for the next message`() async throws {
        try await withAPI { api in
            let path = "/v1/senders/\(api.sender)"
            let set = try await api.call(
                .patch, path, #"{"label": "Desk", "limits": {"per_minute": 1, "per_day": 50, "quiet_hours": {"from": "21:00", "to": "07:00"}}}"#)
            let first = try await api.call(.post, "/v1/messages", TestAPI.message(more: #", "priority": "high""#))
            let second = try await api.call(.post, "/v1/messages", TestAPI.message(more: #", "priority": "high""#))
            let used = try await api.call(.get, path)
            let other = try await api.call(.patch, path, #"{"limits": {"per_hour": 5}}"#)
            let renamed = try await api.call(.patch, path, #"{"label": "Counter"}"#)

            #expect(set.status == 200 && set.json["label"] as? String == "Desk", "\(set.text)")
            let limits = try #require(set.json["limits"] as? [String: Any])
            #expect(limits["per_minute"] as? Int == 1 && limits["quiet_hours"] as? [String: String] == ["from": "21:00", "to": "07:00"])
            #expect(first.json["limited_by"] is NSNull)
            #expect(second.status == 202 && second.json["limited_by"] as? String == "per_minute", "\(second.text)")
            #expect(second.json["estimated_send_at"] as? String == "2026-05-28T20:27:00.000Z")
            let usage = try #require(used.json["usage"] as? [String: [String: Any]])
            #expect(usage["per_minute"]?["limit"] as? Int == 1 && usage["per_day"]?["limit"] as? Int == 50 && usage["per_hour"]?["limit"] is NSNull)
            #expect(usage["per_day"]?["used"] as? Int == 2)
            #expect((other.json["limits"] as? [String: Int]) == ["per_hour": 5])
            #expect(renamed.json["label"] as? String == "Counter" && (renamed.json["limits"] as? [String: Int]) == ["per_hour": 5])
        }
    }

    @Test func `each limit that cannot be meant has its own answer and changes nothing`() async throws {
        try await withAPI { api in
            let cases: [(limits: String, places: [String])] = [
                (#"{"per_second": 5, "per_minute": 4}"#, ["/limits/per_second conflict"]),
                (#"{"per_minute": 10, "per_day": 9}"#, ["/limits/per_minute conflict"]),
                (#"{"new_recipients_per_day": 10, "per_day": 9}"#, ["/limits/new_recipients_per_day conflict"]),
                (#"{"per_second": 0}"#, ["/limits/per_second out_of_range"]),
                (#"{"per_second": -1, "gap_ms": 3600001}"#, ["/limits/per_second out_of_range", "/limits/gap_ms out_of_range"]),
                (#"{"per_second": 1.5}"#, ["/limits/per_second invalid_value"]),
                (#"{"warm_up": "yes"}"#, ["/limits/warm_up invalid_value"]),
                (#"{"quiet_hours": {"from": "21:00", "to": "21:00"}}"#, ["/limits/quiet_hours conflict"]),
                (#"{"quiet_hours": {"from": "24:00"}}"#, ["/limits/quiet_hours/from invalid_value", "/limits/quiet_hours/to required"]),
                (#"{"per_week": 1}"#, ["/limits/per_week unknown_field"]),
                (#"[1]"#, ["/limits wrong_type"]),
            ]
            for bad in cases {
                let answer = try await api.call(.patch, "/v1/senders/\(api.sender)", #"{"limits": \#(bad.limits)}"#)
                #expect(answer.status == 422 && answer.code == "invalid_request" && answer.places == bad.places, "\(bad.limits): \(answer.text)")
            }
            #expect(try await api.call(.patch, "/v1/senders/\(api.sender)", #"{"label": ""}"#).places == ["/label invalid_value"])
            let kept = try await api.call(.get, "/v1/senders/\(api.sender)").json["limits"] as? [String: Any]
            #expect(kept?.isEmpty == true)
        }
    }

    @Test func `a stopped sender is resumed, one that needs a pairing is not`() async throws {
        try await withAPI { api in
            let path = "/v1/senders/\(api.sender)"
            func condition() async throws -> [String: Any] { try await api.call(.get, path).json["condition"] as? [String: Any] ?? [:] }
            let ready = try await condition()
            #expect(ready["code"] as? String == "ready")
            _ = try await api.test.gateway.senders.recordState(api.owner, .parked, code: "unknown_error", now: api.test.now)
            let parked = try await condition()
            let resumed = try await api.call(.post, path + "/resume", headers: ["Idempotency-Key": "r"])
            let again = try await api.call(.post, path + "/resume")
            _ = try await api.test.gateway.senders.recordState(api.owner, .loggedOut, now: api.test.now)
            let refused = try await api.call(.post, path + "/resume")

            #expect(parked["code"] as? String == "parked" && parked["sentence"] is String && parked["way_out"] is String)
            #expect(resumed.status == 202 && (resumed.json["condition"] as? [String: Any])?["code"] as? String == "connecting", "\(resumed.text)")
            #expect(again.status == 202)
            #expect(refused.status == 409 && refused.code == "sender_not_resumable" && refused.json["state"] as? String == "logged_out")
        }
    }
}
