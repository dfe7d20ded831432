import Domain
import Foundation
import Secrets
import TestSupport
import Testing

@Suite struct KeyTests {
    @Test func `every key that does not work gets 401 with its code, and leaves no row`() async throws {
        try await withAPI { api in
            let keys = api.test.gateway.apiKeys
            let revoked = try await keys.create(account: api.account, label: "old", test: true, now: api.test.now)
            #expect(try await api.call(.get, "/v1/messages", key: revoked.secret).status == 200)
            #expect(try await keys.revoke(revoked.key.id, account: api.account, now: api.test.now))
            let closed = try await api.test.gateway.accounts.create(name: "Warung", now: api.test.now).id
            let closedKey = try await keys.create(account: closed, label: "shop", test: true, now: api.test.now)
            #expect(try await api.test.gateway.closing.begin(closed, now: api.test.now) != nil)
            let before = try await api.rows()

            let cases = [
                ("", "missing_key"), (APIKeySecret.generate(.test).reveal(), "invalid_key"), (revoked.secret, "invalid_key"),
                (String(api.key.dropLast()), "malformed_key"), (closedKey.secret, "invalid_key"),
            ]
            for (key, code) in cases {
                let answer = try await api.call(.post, "/v1/messages", TestAPI.message(), key: key)
                #expect(answer.status == 401 && answer.code == code && answer.headers[.wwwAuthenticate] == "Bearer")
                #expect(answer.header("X-Request-Id")?.hasPrefix("req_") == true)
            }
            let basic = try await api.call(.post, "/v1/messages", TestAPI.message(), key: "", headers: ["Authorization": "Basic YTpi"])
            #expect(basic.status == 401 && basic.code == "missing_key")
            #expect(try await api.rows() == before)
        }
    }

    @Test func `a key without the scope may not`() async throws {
        try await withAPI { api in
            let reader = try await api.test.gateway.apiKeys.create(
                account: api.account, label: "reader", test: true, scopes: [.read], now: api.test.now
            ).secret
            let before = try await api.rows()
            let requests = [
                ("/v1/messages", TestAPI.message()), ("/v1/senders", "{}"), ("/v1/senders/\(api.sender)/pairing", "{}"),
                ("/v1/account/close", #"{"confirm": "\#(api.account)"}"#),
            ]
            for (path, body) in requests {
                let answer = try await api.call(.post, path, body, key: reader)
                #expect(answer.status == 403 && answer.code == "missing_scope")
            }
            #expect(try await api.call(.delete, "/v1/senders/\(api.sender)", key: reader).status == 403)
            #expect(try await api.call(.get, "/v1/senders", key: reader).status == 200)
            #expect(try await api.rows() == before)
        }
    }

    @Test func `the sixth wrong key of an address and minute gets 429, keys in use go on`() async throws {
        try await withAPI { api in
            let fresh = try await api.test.gateway.apiKeys.create(account: api.account, label: "new", test: true, now: api.test.now).secret
            #expect(try await api.call(.get, "/v1/messages").status == 200)
            for _ in 0..<5 { #expect(try await api.call(.get, "/v1/messages", key: APIKeySecret.generate(.test).reveal()).status == 401) }

            let sixth = try await api.call(.get, "/v1/messages", key: APIKeySecret.generate(.test).reveal())
            let malformed = try await api.call(.get, "/v1/messages", key: "wg_test_x")
            let unseen = try await api.call(.get, "/v1/messages", key: fresh)
            let known = try await api.call(.get, "/v1/messages")

            #expect(sixth.status == 429 && sixth.code == "too_many_requests" && sixth.headers[.retryAfter] == "20")
            #expect(sixth.header("RateLimit-Policy") == #""failed_keys_per_minute";q=5;w=60"#)
            #expect(sixth.header("RateLimit") == #""failed_keys_per_minute";r=0;t=20"#)
            #expect(malformed.status == 429 && unseen.status == 429 && known.status == 200)

            api.test.clock.advance(by: 20)
            #expect(try await api.call(.get, "/v1/messages", key: fresh).status == 200)
        }
    }
}
