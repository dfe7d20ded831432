import Domain
import Foundation
import TestSupport
import Testing

@Suite struct BatchTests {
    private static func batch(_ items: [String]) -> String { #"{"messages": [\#(items.joined(separator: ","))]}"# }

    private static func results(_ answer: Answer) -> [[String: Any]] { answer.json["results"] as? [[String: Any]] ?? [] }

    @Test func `each item is accepted or rejected by itself, with its own problem`() async throws {
        try await withAPI { api in
            let items = [
                TestAPI.message("one"), TestAPI.message("two", to: "08123"), #"{"to": 1, "type": "text", "text": {"body": 2}}"#, "null",
                TestAPI.message("five", more: #", "priority": "low", "route": {"sender": "\#(api.sender)"}"#),
                TestAPI.message("six", more: #", "route": {"sender": "snd_00000000000000000000000000"}"#),
            ]
            let answer = try await api.call(.post, "/v1/messages/batch", Self.batch(items))
            let results = Self.results(answer)
            func problem(_ index: Int) -> [String] {
                let problem = results[index]["problem"] as? [String: Any]
                let errors = problem?["errors"] as? [[String: Any]] ?? []
                return errors.map { "\($0["pointer"] as? String ?? "?") \($0["code"] as? String ?? "?")" }
            }
            #expect(answer.status == 202 && answer.json["accepted"] as? Int == 2 && answer.json["rejected"] as? Int == 4, "\(answer.text)")
            try #require(results.count == 6)
            #expect(results.map { $0["index"] as? Int } == [0, 1, 2, 3, 4, 5])
            #expect(results.map { $0["status"] as? String } == ["accepted", "rejected", "rejected", "rejected", "accepted", "rejected"])
            #expect(problem(1) == ["/messages/1/to invalid_number"])
            #expect(problem(2) == ["/messages/2/to wrong_type", "/messages/2/text/body wrong_type"])
            #expect(problem(3) == ["/messages/3 wrong_type"])
            #expect(problem(5).first?.hasPrefix("/messages/5/route/sender") == true)
            #expect((results[4]["message"] as? [String: Any])?["priority"] as? String == "low")
            #expect(try await api.test.count("SELECT 1 AS one FROM messages") == 2)
        }
    }

    @Test func `one thousand are accepted, one more is refused as a whole`() async throws {
        try await withAPI { api in
            let before = try await api.rows()
            let item = TestAPI.message()
            let tooMany = try await api.call(.post, "/v1/messages/batch", Self.batch(Array(repeating: item, count: 1_001)))
            let none = try await api.call(.post, "/v1/messages/batch", Self.batch([]))
            let absent = try await api.call(.post, "/v1/messages/batch", "{}")
            let wrong = try await api.call(.post, "/v1/messages/batch", #"{"messages": {"a": 1}}"#)
            let extra = try await api.call(.post, "/v1/messages/batch", #"{"messages": [\#(item)], "more": 1}"#)
            #expect(tooMany.status == 422 && tooMany.code == "too_many_items" && tooMany.places == ["/messages too_many"])
            #expect(none.status == 422 && none.places == ["/messages empty"])
            #expect(absent.places == ["/messages required"] && wrong.places == ["/messages wrong_type"] && extra.places == ["/more unknown_field"])
            #expect(try await api.rows() == before)

            let full = try await api.call(.post, "/v1/messages/batch", Self.batch(Array(repeating: item, count: 1_000)))
            #expect(full.status == 202 && full.json["accepted"] as? Int == 1_000)
            #expect(try await api.test.count("SELECT 1 AS one FROM messages") == 1_000)
        }
    }

    @Test func `a body between one request's limit and 4 MiB is taken, a larger one is not`() async throws {
        try await withAPI { api in
            let text = String(repeating: "a", count: 60_000)
            let large = try await api.call(.post, "/v1/messages/batch", Self.batch(Array(repeating: TestAPI.message(text), count: 60)))
            let tooLarge = try await api.call(.post, "/v1/messages/batch", Self.batch(Array(repeating: TestAPI.message(text), count: 75)))
            #expect(large.status == 202 && large.json["accepted"] as? Int == 60)
            #expect(tooLarge.status == 413 && tooLarge.code == "body_too_large")
        }
    }

    @Test func `a repeated batch accepts nothing twice, and one that was cut off is completed`() async throws {
        try await withAPI { api in
            let items = (0..<5).map { TestAPI.message("message \($0)") }
            let key = ["Idempotency-Key": "campaign"]
            let part = try await api.call(.post, "/v1/messages/batch", Self.batch(Array(items.prefix(3))), headers: key)
            let whole = try await api.call(.post, "/v1/messages/batch", Self.batch(items), headers: key)
            let changed = try await api.call(.post, "/v1/messages/batch", Self.batch([TestAPI.message("other")] + items.dropFirst()), headers: key)
            let long = try await api.call(
                .post, "/v1/messages/batch", Self.batch(items), headers: ["Idempotency-Key": String(repeating: "k", count: 251)])

            func ids(_ answer: Answer) -> [String] { Self.results(answer).map { ($0["message"] as? [String: Any])?["id"] as? String ?? "" } }
            #expect(part.status == 202 && whole.status == 202 && Array(ids(whole).prefix(3)) == ids(part))
            #expect(Self.results(whole).map { $0["replayed"] as? Bool } == [true, true, true, false, false])
            #expect((Self.results(changed)[0]["problem"] as? [String: Any])?["code"] as? String == "idempotency_key_reused")
            #expect(Self.results(changed).dropFirst().allSatisfy { $0["replayed"] as? Bool == true })
            #expect(long.status == 400 && long.code == "invalid_idempotency_key")
            #expect(try await api.test.count("SELECT 1 AS one FROM messages") == 5)
        }
    }
}
