import Domain
import Foundation
import Secrets
import TestSupport
import Testing
import Web

@Suite struct RequestLimitTests {
    @Test func `a key has its burst at once and then its rate, and the answers say how it stands`() async throws {
        try await withAPI(limits: RequestLimits(perKey: 2, burstSeconds: 3)) { api in
            var answers: [Answer] = []
            for _ in 0..<6 { answers.append(try await api.call(.get, "/v1/messages")) }
            let seventh = try await api.call(.post, "/v1/messages", TestAPI.message())
            api.test.clock.advance(by: 0.4)
            let early = try await api.call(.get, "/v1/messages")
            api.test.clock.advance(by: 0.2)
            let inTime = try await api.call(.get, "/v1/messages")
            api.test.clock.advance(by: 3)
            let rested = try await api.call(.get, "/v1/messages")

            #expect(answers.map(\.status) == Array(repeating: 200, count: 6))
            #expect(
                answers.map { $0.header("RateLimit") } == [5, 4, 3, 2, 1, 0].map { "\"requests_per_key\";r=\($0);t=\($0 == 0 ? 1 : (7 - $0) / 2)" })
            #expect(answers.allSatisfy { $0.header("RateLimit-Policy") == #""requests_per_key";q=6;w=3"# })
            #expect(seventh.status == 429 && seventh.code == "too_many_requests" && seventh.json["limit"] as? String == "requests_per_key")
            #expect(seventh.headers[.retryAfter] == "1" && seventh.header("RateLimit") == #""requests_per_key";r=0;t=1"#)
            #expect(seventh.header("RateLimit-Policy") == #""requests_per_key";q=6;w=3"#)
            #expect(early.status == 429 && inTime.status == 200)
            #expect(rested.header("RateLimit") == #""requests_per_key";r=5;t=1"#)
            #expect(try await api.test.count("SELECT 1 AS one FROM messages") == 0)
        }
    }

    @Test func `keys of one account share its limit, and other accounts do not`() async throws {
        try await withAPI(limits: RequestLimits(perKey: 5, perAccount: 3, burstSeconds: 1)) { api in
            let second = try await api.test.gateway.apiKeys.create(account: api.account, label: "two", test: true, now: api.test.now).secret
            let (other, _, _) = try await api.test.makeReadySender()
            let foreign = try await api.test.gateway.apiKeys.create(account: other, label: "shop", test: true, now: api.test.now).secret
            for _ in 0..<3 { #expect(try await api.call(.get, "/v1/messages").status == 200) }

            let refused = try await api.call(.get, "/v1/messages", key: second)
            let free = try await api.call(.get, "/v1/messages", key: foreign)

            #expect(refused.status == 429 && refused.json["limit"] as? String == "requests_per_account")
            // What refuses takes nothing from the other bucket.
            #expect(refused.header("RateLimit") == #""requests_per_key";r=5;t=0, "requests_per_account";r=0;t=1"#)
            #expect(refused.header("RateLimit-Policy") == #""requests_per_key";q=5;w=1, "requests_per_account";q=3;w=1"#)
            #expect(free.status == 200)
        }
    }

    @Test func `problems say how the limits stand too, and without a limit nothing is said`() async throws {
        try await withAPI(limits: RequestLimits(perAccount: 10)) { api in
            let problem = try await api.call(.get, "/v1/messages/msg_1")
            let invalid = try await api.call(.post, "/v1/messages", "{}")
            #expect(problem.status == 404 && problem.header("RateLimit") == #""requests_per_account";r=99;t=1"#)
            #expect(invalid.status == 422 && invalid.header("RateLimit") == #""requests_per_account";r=98;t=1"#)
            #expect(try await api.call(.get, "/healthz").header("RateLimit") == nil)
        }
        try await withAPI { api in
            let answer = try await api.call(.get, "/v1/messages")
            #expect(answer.status == 200 && answer.header("RateLimit-Policy") == nil)
        }
    }

    @Test func `the clock going back gives nobody a new bucket`() async throws {
        try await withAPI(limits: RequestLimits(perKey: 1, burstSeconds: 2)) { api in
            var statuses: [Int] = []
            func ask() async throws { statuses.append(try await api.call(.get, "/v1/messages").status) }
            for _ in 0..<2 { try await ask() }
            api.test.clock.advance(by: -3600)
            try await ask()
            api.test.clock.advance(by: 1)
            try await ask()
            #expect(statuses == [200, 200, 429, 200])
        }
    }

    @Test func `wrong keys are counted by the address that the proxy saw, and a claim counts for nothing without a proxy`() async throws {
        @Sendable func wrong(_ api: TestAPI, _ address: String) async throws -> Answer {
            try await api.call(.get, "/v1/messages", key: APIKeySecret.generate(.test).reveal(), headers: ["X-Forwarded-For": address])
        }
        try await withAPI(behindProxy: true) { api in
            for number in 0..<5 { #expect(try await wrong(api, "198.51.100.\(number), 203.0.113.7").status == 401) }
            let sixth = try await wrong(api, "203.0.113.7")
            #expect(sixth.status == 429 && sixth.json["limit"] as? String == "failed_keys_per_minute")
            #expect(try await wrong(api, "203.0.113.8").status == 401)
            #expect(try await wrong(api, "203.0.113.7, 2001:db8::1").status == 401)
        }
        try await withAPI { api in
            for number in 0..<5 { #expect(try await wrong(api, "203.0.113.\(number)").status == 401) }
            let sixth = try await wrong(api, "203.0.113.99")
            #expect(sixth.status == 429)
        }
    }
}
