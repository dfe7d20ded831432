import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

@Suite struct ServiceTests {
    @Test func `closing asks for the account's own id, and afterwards the key is refused`() async throws {
        try await withAPI { api in
            _ = try await api.call(.post, "/v1/messages", TestAPI.message())
            let key = try await api.test.gateway.apiKeys.create(account: api.account, label: "live", test: false, now: api.test.now).secret
            let wrong = try await api.call(.post, "/v1/account/close", #"{"confirm": "acc_1"}"#, key: key)
            let absent = try await api.call(.post, "/v1/account/close", "{}", key: key)
            #expect(try await api.call(.get, "/v1/messages").status == 200)
            try await api.test.gateway.leases.release(node: "node-1", owned: [api.owner])

            let headers = ["Idempotency-Key": "c"]
            let closed = try await api.call(.post, "/v1/account/close", #"{"confirm": "\#(api.account)"}"#, key: key, headers: headers)
            let again = try await api.call(.post, "/v1/account/close", #"{"confirm": "\#(api.account)"}"#, key: key, headers: headers)

            #expect(wrong.status == 422 && wrong.code == "confirmation_mismatch" && wrong.places == ["/confirm mismatch"])
            #expect(absent.status == 422 && absent.places == ["/confirm required"])
            #expect(closed.status == 200 && (closed.json["rows"] as? [String: Int])?["messages"] == 1)
            #expect(closed.json["closed_at"] as? String == "2026-05-28T20:26:40.000Z" && closed.json["receipt"] is String)
            #expect(again.status == 401 && again.code == "invalid_key")
            #expect(try await api.rows() == 0)
        }
    }

    @Test func `a database that is down answers 503, loses nothing, and is used again when it is back`() async throws {
        try await withAPI { api in
            let first = try await api.call(.post, "/v1/messages", TestAPI.message(), headers: ["Idempotency-Key": "1"])
            let ready = try await api.call(.get, "/readyz", key: "")
            let administrator = Database(
                Database.Configuration(url: api.test.database.cluster.connectionString(), connections: 1, name: "outage"), logger: .silent)
            let name = api.test.database.name
            try await administrator.executeOutsideTransaction("test.down", "ALTER DATABASE \(name) WITH ALLOW_CONNECTIONS false")
            _ = try await administrator.query(
                "test.kill", "SELECT pg_terminate_backend(pid) AS gone FROM pg_stat_activity WHERE datname = \(name)", as: { _ in })

            async let refused = api.call(.post, "/v1/messages", TestAPI.message("second"), headers: ["Idempotency-Key": "2"])
            async let unready = api.call(.get, "/readyz", key: "")
            let (down, notReady) = try await (refused, unready)
            let alive = try await api.call(.get, "/healthz", key: "")
            try await administrator.executeOutsideTransaction("test.up", "ALTER DATABASE \(name) WITH ALLOW_CONNECTIONS true")
            await administrator.close()
            let repeated = try await api.call(.post, "/v1/messages", TestAPI.message("second"), headers: ["Idempotency-Key": "2"])

            #expect(ready.status == 200 && ready.json["status"] as? String == "ready")
            #expect(down.status == 503 && down.code == "database_unavailable" && down.headers[.retryAfter] == "1")
            #expect(notReady.status == 503 && notReady.json["codes"] as? [String] == ["database_unavailable"])
            #expect(alive.status == 200)
            #expect(repeated.status == 202 && repeated.header("Idempotent-Replayed") == nil)
            let list = try await api.call(.get, "/v1/messages").data.compactMap { $0["id"] as? String }
            #expect(Set(list) == [first.id, repeated.id])
        }
    }
}

/// Any bytes; for ids that name nothing.
struct TestRandom: RandomSource {
    func bytes(_ count: Int) -> [UInt8] { SystemRandom().bytes(count) }
}

@Suite struct RequestIDTests {
    @Test(arguments: ["0af7651916cd43dd8448eb211c80319c", "9f2d4c1e-3b5a-4d6f-8a7b-0c1d2e3f4a5b", "req_0123456789abcdef0123456789"])
    func `A caller's own id of a good form is taken over`(_ id: String) async throws {
        try await withAPI { api in
            let answer = try await api.call(.get, "/v1/messages/msg_1", headers: ["X-Request-Id": id])
            #expect(answer.header("X-Request-Id") == id)
            #expect(answer.json["request_id"] as? String == id)
        }
    }

    @Test(arguments: [
        "628123456789", "+628123456789", "order-17", "0af7651916cd43dd8448eb211c80319", "req_0123456789abcdef012345678",
        "req_0123456789abcdef012345678g",
        "9f2d4c1e-3b5a-4d6f-8a7b-0c1d2e3f4a5", "9f2d4c1e-3b5a-4d6f-8a7b0-c1d2e3f4a5b", "{\"a\": 1}",
        "0af7651916cd43dd8448eb211c80319c0af7651916cd43dd8448eb211c80319c",
    ])
    func `Anything else is not`(_ id: String) async throws {
        try await withAPI { api in
            let answer = try await api.call(.get, "/v1/messages/msg_1", headers: ["X-Request-Id": id])
            let own = try #require(answer.header("X-Request-Id"))
            #expect(own.hasPrefix("req_") && own.utf8.count == 30 && own != id)
            #expect(answer.json["request_id"] as? String == own)
        }
    }
}
