import Domain
import Foundation
import HTTPTypes
import HummingbirdTesting
import TestSupport
import Testing

@Suite struct BadInputTests {
    /// A body, the status it gets, the code, and the places named.
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let body: String
        let status: Int
        let code: String
        let places: [String]

        init(_ name: String, _ body: String, _ status: Int = 422, _ code: String = "invalid_request", _ places: String...) {
            self.name = name
            self.body = body
            self.status = status
            self.code = code
            self.places = places
        }

        var testDescription: String { name }
    }

    static let cases: [Case] =
        [
            Case("empty", "", 400, "invalid_json"),
            Case("malformed", "{to: 1}", 400, "invalid_json"),
            Case("truncated", String(TestAPI.message().dropLast(3)), 400, "invalid_json"),
            Case("trailing text", TestAPI.message() + "x", 400, "invalid_json"),
            Case("a NUL", TestAPI.message("\0"), 400, "invalid_json"),
            Case("17 levels", String(repeating: "[", count: 17) + String(repeating: "]", count: 17), 400, "invalid_json"),
            Case("100,000 levels", String(repeating: "[", count: 100_000), 400, "invalid_json"),
            Case("16 levels", String(repeating: "[", count: 16) + String(repeating: "]", count: 16), 422, "invalid_request", " wrong_type"),
            Case("a text", "\"hello\"", 422, "invalid_request", " wrong_type"),
            Case("null", "null", 422, "invalid_request", " wrong_type"),
            Case("nothing in it", "{}", 422, "invalid_request", "/to required", "/type required", "/text required"),
            Case(
                "wrong types", #"{"to": 628, "type": ["text"], "text": "hello"}"#, 422, "invalid_request", "/to wrong_type", "/type wrong_type",
                "/text wrong_type"),
            Case(
                "wrong nested type", #"{"to": "+628123456789", "type": "text", "text": {"body": 1}}"#, 422, "invalid_request", "/text/body wrong_type"
            ),
            Case("wrong metadata", TestAPI.message(more: #", "metadata": {"a/b": 1}"#), 422, "invalid_request", "/metadata/a~1b wrong_type"),
            Case(
                "unknown fields", TestAPI.message(more: #", "tex~t": 1, "a/b": 2"#), 422, "invalid_request", "/a~1b unknown_field",
                "/tex~0t unknown_field"),
            Case(
                "nested unknown fields", #"{"to": "+628123456789", "type": "text", "text": {"body": "a", "boddy": "b"}, "route": {"pol": 1}}"#, 422,
                "invalid_request", "/text/boddy unknown_field", "/route/pol unknown_field"),
            Case("a name twice", TestAPI.message(more: #", "\u0074o": "+628123456780""#), 422, "invalid_request", "/to duplicate"),
            Case(
                "a nested name twice", #"{"to": "+628123456789", "type": "text", "text": {"body": "a", "body": "b"}}"#, 422, "invalid_request",
                "/text/body duplicate"),
            Case("half a surrogate pair", TestAPI.message("\\ud800"), 422, "invalid_request", "/text/body invalid_value"),
            Case("an escaped NUL", TestAPI.message("\\u0000"), 422, "invalid_request", "/text/body invalid_value"),
            Case("empty text", TestAPI.message(""), 422, "invalid_request", "/text/body empty"),
            Case("70,000 characters", TestAPI.message(String(repeating: "é", count: 70_000)), 422, "invalid_request", "/text/body too_long"),
            Case("another type", #"{"to": "+628123456789", "type": "image", "text": {"body": "a"}}"#, 422, "invalid_request", "/type unsupported"),
            Case("not a time", TestAPI.message(more: #", "expires_at": "tomorrow""#), 422, "invalid_request", "/expires_at not_a_time"),
            Case("no such day", TestAPI.message(more: #", "expires_at": "2026-02-30T00:00:00Z""#), 422, "invalid_request", "/expires_at not_a_time"),
            Case("in the past", TestAPI.message(more: #", "expires_at": "2026-05-28T20:26:40Z""#), 422, "invalid_request", "/expires_at too_early"),
            Case("in a year", TestAPI.message(more: #", "expires_at": "2027-05-28T20:26:40Z""#), 422, "invalid_request", "/expires_at too_late"),
            Case("an empty reference", TestAPI.message(more: #", "reference": """#), 422, "invalid_request", "/reference empty"),
            Case("another policy", TestAPI.message(more: #", "route": {"policy": "best"}"#), 422, "invalid_request", "/route/policy unsupported"),
            Case(
                "a policy without a choice", TestAPI.message(more: #", "route": {"policy": "explicit"}"#), 422, "invalid_request",
                "/route/policy conflict"),
            Case("another priority", TestAPI.message(more: #", "priority": "urgent""#), 422, "invalid_request", "/priority invalid_value"),
            Case("another store", TestAPI.message(more: #", "store": "all""#), 422, "invalid_request", "/store invalid_value"),
            Case("not a time to send", TestAPI.message(more: #", "send_at": 5"#), 422, "invalid_request", "/send_at wrong_type"),
            Case("sent in the past", TestAPI.message(more: #", "send_at": "2026-05-28T20:26:39Z""#), 422, "invalid_request", "/send_at too_early"),
            Case("sent in 31 days", TestAPI.message(more: #", "send_at": "2026-06-28T20:26:41Z""#), 422, "invalid_request", "/send_at too_late"),
            Case(
                "over before it begins", TestAPI.message(more: #", "send_at": "2026-05-29T10:00:00Z", "expires_at": "2026-05-29T09:00:00Z""#), 422,
                "invalid_request", "/expires_at too_early"),
            Case("a short ttl", TestAPI.message(more: #", "ttl": 29"#), 422, "invalid_request", "/ttl too_early"),
            Case("a long ttl", TestAPI.message(more: #", "ttl": 604801"#), 422, "invalid_request", "/ttl too_late"),
            Case("half a second", TestAPI.message(more: #", "ttl": 30.5"#), 422, "invalid_request", "/ttl invalid_value"),
            Case(
                "two ends", TestAPI.message(more: #", "ttl": 60, "expires_at": "2026-05-28T20:36:40Z""#), 422, "invalid_request", "/ttl conflict"),
            Case("no flag", TestAPI.message(more: #", "fail_fast": "yes""#), 422, "invalid_request", "/fail_fast wrong_type"),
            Case("no pool id", TestAPI.message(more: #", "route": {"pool": "x"}"#), 422, "invalid_request", "/route/pool invalid_id"),
        ]
        + ["08123456789", "628123456789", "+0812345678", "+628", "+6281234567890123", "+62 812 3456", "+62812345678a", "+٦٢٨١٢٣٤٥٦٧", "", "+"].map {
            Case("the number \($0)", TestAPI.message(to: $0), 422, "invalid_request", "/to invalid_number")
        }

    @Test func `each bad body has its own answer and leaves no row`() async throws {
        try await withAPI { api in
            let before = try await api.rows()
            for bad in Self.cases {
                let answer = try await api.call(.post, "/v1/messages", bad.body, headers: ["Idempotency-Key": "k"])
                #expect(
                    answer.status == bad.status && answer.code == bad.code && answer.places == bad.places,
                    "\(bad.name): \(answer.status) \(answer.text)")
                #expect(answer.headers[.contentType]?.hasPrefix("application/problem+json") == true)
                #expect(answer.header("X-Request-Id") == answer.json["request_id"] as? String)
            }
            #expect(try await api.rows() == before)
            #expect(try await api.call(.post, "/v1/messages", TestAPI.message(String(repeating: "é", count: 65_536))).status == 202)
        }
    }

    @Test func `headers that are not right are refused and leave no row`() async throws {
        try await withAPI { api in
            let live = try await api.addLive().key
            let before = try await api.rows()
            for type in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded"] {
                let answer = try await api.call(.post, "/v1/messages", TestAPI.message(), headers: ["Content-Type": type])
                #expect(answer.status == 415 && answer.code == "unsupported_media_type")
            }
            for key in [String(repeating: "k", count: 256), "schlüssel"] {
                for path in ["/v1/messages", "/v1/senders", "/v1/senders/\(api.sender)/pairing", "/v1/account/close"] {
                    let answer = try await api.call(
                        .post, path, TestAPI.message(), key: path.contains("close") ? live : nil, headers: ["Idempotency-Key": key])
                    #expect(answer.status == 400 && answer.code == "invalid_idempotency_key")
                }
            }
            #expect(try await api.rows() == before)
            let charset = try await api.call(
                .post, "/v1/messages", TestAPI.message(), headers: ["Content-Type": "Application/JSON; charset=utf-8"])
            #expect(charset.status == 202)
        }
    }

    @Test func `a request of 3 MiB gets 413, the connection is closed, and no row is left`() async throws {
        try await withAPI(.live) { api in
            let before = try await api.rows()
            let answer = try await api.call(.post, "/v1/messages", TestAPI.message(String(repeating: "a", count: 3 << 20)))
            #expect(answer.status == 413 && answer.code == "body_too_large" && answer.headers[.connection] == "close")
            #expect(try await api.rows() == before)
            await #expect(throws: (any Error).self) { _ = try await api.call(.get, "/healthz") }
        }
    }

    @Test func `a sender that is not this account's is unknown, one that the key may not use is refused`() async throws {
        try await withAPI { api in
            let (_, foreign, _) = try await api.test.makeReadySender()
            let second = try await api.test.gateway.senders.create(account: api.account, label: "CS 2", test: true, now: api.test.now)
            let narrow = try await api.test.gateway.apiKeys.create(
                account: api.account, label: "narrow", test: true, allowedSenders: [second.id], now: api.test.now)
            let live = try await api.test.gateway.apiKeys.create(account: api.account, label: "live", test: false, now: api.test.now)
            let before = try await api.rows()
            func route(_ sender: Sender.ID) -> String { TestAPI.message(more: #", "route": {"sender": "\#(sender)"}"#) }

            let unknown = try await api.call(.post, "/v1/messages", route(foreign))
            let absent = try await api.call(.post, "/v1/messages", route(Sender.ID.make(at: api.test.now, random: TestRandom())))
            let refused = try await api.call(.post, "/v1/messages", route(api.sender), key: narrow.secret)
            let none = try await api.call(.post, "/v1/messages", TestAPI.message(), key: live.secret)

            #expect(unknown.status == 422 && unknown.places == ["/route/sender unknown"])
            #expect(absent.status == 422 && absent.places == unknown.places && absent.json["detail"] as? String == unknown.json["detail"] as? String)
            #expect(refused.status == 403 && refused.code == "sender_not_allowed")
            #expect(none.status == 422 && none.code == "no_eligible_sender")
            #expect(try await api.rows() == before)
        }
    }

    @Test func `paths and methods that are not there say so`() async throws {
        try await withAPI { api in
            for path in ["/", "/v1", "/v1/mesages", "/v1/messages/a/b/c", "/v1/senders/\(api.sender)/nothing"] {
                let answer = try await api.call(.get, path)
                #expect(answer.status == 404 && answer.code == "not_found" && answer.header("X-Request-Id") != nil)
            }
            let put = try await api.call(.put, "/v1/messages", "{}")
            #expect(put.status == 405 && put.code == "method_not_allowed" && put.headers[.allow] == "GET, HEAD, POST")
            #expect(try await api.call(.delete, "/v1/messages").status == 405)
            for method in [HTTPRequest.Method.trace, .options, try #require(HTTPRequest.Method("QUERY"))] {
                #expect(try await api.call(method, "/v1/messages").status == 405)
            }
            #expect(try await api.call(.get, "/v1/account/close").headers[.allow] == "POST")
            #expect(try await api.call(.post, "/healthz", "{}").headers[.allow] == "GET, HEAD")
        }
    }
}
