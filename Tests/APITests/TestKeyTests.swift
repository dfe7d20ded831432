import Domain
import Foundation
import TestSupport
import Testing

@Suite struct TestKeyTests {
    @Test func `for a test key live senders are not there, and it cannot close an account with something live`() async throws {
        try await withAPI { api in
            let live = try await api.addLive()
            let before = try await api.rows()
            let path = "/v1/senders/\(live.sender)"
            let answers = [
                try await api.call(.get, path), try await api.call(.delete, path), try await api.call(.get, path + "/pairing"),
                try await api.call(.post, path + "/pairing"),
            ]
            let close = try await api.call(.post, "/v1/account/close", #"{"confirm": "\#(api.account)"}"#)

            #expect(answers.allSatisfy { $0.status == 404 && $0.code == "not_found" })
            #expect(close.status == 403 && close.code == "live_key_required")
            #expect(try await api.call(.get, "/v1/senders").data.map { $0["id"] as? String } == ["\(api.sender)"])
            #expect(try await api.call(.get, "/v1/senders", key: live.key).data.count == 2)
            #expect(try await api.call(.get, path, key: live.key).status == 200)
            #expect(try await api.test.gateway.senders.get(live.sender, account: api.account)?.state == .unpaired)
            #expect(try await api.rows() == before)
        }
    }

    @Test func `for a test key live messages are not there`() async throws {
        try await withAPI { api in
            let live = try await api.addLive()
            let message = try await api.call(.post, "/v1/messages", TestAPI.message(), key: live.key)
            let own = try await api.call(.post, "/v1/messages", TestAPI.message())
            let path = "/v1/messages/\(message.id)"

            #expect(message.status == 202 && message.json["test"] as? Bool == false)
            #expect(try await api.call(.get, path).status == 404)
            #expect(try await api.call(.get, path + "/events").status == 404)
            #expect(try await api.call(.post, path + "/cancel").status == 404)
            #expect(try await api.call(.get, "/v1/messages").data.map { $0["id"] as? String } == [own.id])
            #expect(try await api.call(.get, path, key: live.key).json["status"] as? String == "queued")
        }
    }

    @Test func `a test key closes an account that has nothing live`() async throws {
        try await withAPI { api in
            _ = try await api.call(.post, "/v1/messages", TestAPI.message())
            try await api.test.gateway.leases.release(node: "node-1", owned: [api.owner])
            let closed = try await api.call(.post, "/v1/account/close", #"{"confirm": "\#(api.account)"}"#)

            #expect(closed.status == 200 && (closed.json["rows"] as? [String: Int])?["messages"] == 1)
            #expect(try await api.call(.get, "/v1/messages").status == 401)
            #expect(try await api.rows() == 0)
        }
    }
}
