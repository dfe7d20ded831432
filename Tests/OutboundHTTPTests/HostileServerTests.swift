import Foundation
import OutboundHTTP
import Testing

/// Peers that misbehave. Each must end the request with its own code, soon, and leave the client usable.
@Suite struct HostileServerTests {
    private func check(
        _ codes: Set<OutboundFailure.Code>, mayHaveArrived: Bool = true, _ change: @escaping (inout OutboundRequest) -> Void = { _ in },
        location: SourceLocation = #_sourceLocation, _ misbehave: @escaping @Sendable (Peer) -> Void
    ) async throws {
        try await withServer({ peer in
            guard peer.request()?.line.hasPrefix("GET /bad") == true else { return peer.ok("fine") }
            misbehave(peer)
        }) { server in
            try await withClient { client async throws in
                let failure = await client.failure("http://a.test:\(server.port)/bad", change)

                #expect(failure.map { codes.contains($0.code) } == true, "\(String(describing: failure))", sourceLocation: location)
                #expect(failure?.mayHaveArrived == mayHaveArrived, sourceLocation: location)
                #expect(failure?.description.contains("/bad") == false, sourceLocation: location)
                #expect(try await client.get("http://a.test:\(server.port)/good").status == 200, sourceLocation: location)
                #expect(client.load.running <= 1, sourceLocation: location)
            }
        }
    }

    /// A peer that lets the deadline pass. On a busy machine that may happen before the request has left: then it is tried with
    /// twice the time.
    private func checkTimeout(location: SourceLocation = #_sourceLocation, _ misbehave: @escaping @Sendable (Peer) -> Void) async throws {
        try await withServer({ peer in
            guard peer.request()?.line.hasPrefix("GET /bad") == true else { return peer.ok("fine") }
            misbehave(peer)
        }) { server in
            try await withClient { client async throws in
                var deadline = Duration.milliseconds(80)
                var failure: OutboundFailure?
                repeat {
                    failure = await client.failure("http://a.test:\(server.port)/bad") { $0.deadline = deadline }
                    #expect(failure?.code == .timeout, "\(String(describing: failure))", sourceLocation: location)
                    #expect(failure?.description.contains("/bad") == false, sourceLocation: location)
                    deadline *= 2
                } while failure?.mayHaveArrived == false && deadline < .seconds(600)
                #expect(failure?.mayHaveArrived == true, sourceLocation: location)
                #expect(try await client.get("http://a.test:\(server.port)/good").status == 200, sourceLocation: location)
                #expect(client.load.running <= 1, sourceLocation: location)
            }
        }
    }

    @Test func `one that never answers`() async throws {
        try await checkTimeout { $0.waitForClose() }
    }

    @Test func `one that never ends its headers`() async throws {
        try await checkTimeout { peer in
            peer.write("HTTP/1.1 200 OK\r\nX-Slow: ")
            while !peer.waitForClose(milliseconds: 5), peer.write("a") {}
        }
    }

    @Test func `one that drips its body`() async throws {
        try await checkTimeout { peer in
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while !peer.waitForClose(milliseconds: 5), peer.write("a") {}
        }
    }

    @Test func `one whose body has no end`() async throws {
        let part = [UInt8](repeating: 0x61, count: 65_536)
        try await check([.tooLarge]) { peer in
            peer.write("HTTP/1.1 200 OK\r\n\r\n")
            while peer.write(part) {}
        }
        try await check([.tooLarge]) { peer in
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while peer.write("10000\r\n"), peer.write(part), peer.write("\r\n") {}
        }
    }

    @Test func `one whose body has no end, for whom only wants its beginning`() async throws {
        try await withServer({ peer in
            guard peer.request() != nil else { return }
            peer.write("HTTP/1.1 503 No\r\n\r\n")
            while peer.write([UInt8](repeating: 0x61, count: 65_536)) {}
        }) { server in
            try await withClient { client async throws in
                let response = try await client.get("http://a.test:\(server.port)/") { request in
                    request.bodyLimit = 16_384
                    request.excess = .truncate
                }
                #expect(response.status == 503)
                #expect(response.isTruncated)
                #expect(response.body == [UInt8](repeating: 0x61, count: 16_384))
            }
        }
    }

    @Test func `a body of exactly the limit passes, one more byte does not`() async throws {
        try await withServer({ $0.answerAll("0123456789") }) { server in
            try await withClient { client async throws in
                #expect(try await client.get("http://a.test:\(server.port)/") { $0.bodyLimit = 10 }.isTruncated == false)
                #expect(await client.failure("http://a.test:\(server.port)/") { $0.bodyLimit = 9 }?.code == .tooLarge)
            }
        }
    }

    @Test func `a compressed bomb is counted as it unfolds, and left folded when nobody asked for compression`() async throws {
        // 20 MB of zeros in 20 kB, and the same compressed once more.
        let bomb = try await gzip([UInt8](repeating: 0, count: 20_000_000))
        let twice = try await gzip(bomb)
        let offer: (inout OutboundRequest) -> Void = { $0.acceptsCompression = true }
        for (encoding, body) in [("gzip", bomb), ("gzip, gzip", twice)] {
            try await check([.tooLarge], offer) { peer in
                peer.write("HTTP/1.1 200 OK\r\nContent-Encoding: \(encoding)\r\nContent-Length: \(body.count)\r\n\r\n")
                peer.write(body)
                peer.waitForClose()
            }
        }
        try await check([.protocolError], offer) { peer in
            peer.ok("no gzip at all", "Content-Encoding: gzip\r\n")
            peer.waitForClose()
        }
        try await withServer({ peer in
            while let request = peer.request() {
                let encoding = request.header("accept-encoding") ?? ""
                let body = request.line.contains("bomb") ? twice : [0x1f, 0x8b]
                peer.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Offered: \(encoding)\r\nContent-Length: \(body.count)\r\n\r\n")
                peer.write(body)
            }
        }) { server in
            try await withClient { client async throws in
                let response = try await client.get("http://a.test:\(server.port)/bomb")
                #expect(response.body == twice)
                #expect(response.header("x-offered") == "")
            }
        }
    }

    @Test func `compression that was asked for is undone`() async throws {
        let body = try await gzip("hello hello hello".text)
        try await withServer({ peer in
            guard let request = peer.request() else { return }
            peer.write(
                "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Offered: \(request.header("accept-encoding") ?? "")\r\nContent-Length: \(body.count)\r\n\r\n"
            )
            peer.write(body)
        }) { server in
            try await withClient { client async throws in
                let response = try await client.get("http://a.test:\(server.port)/") { $0.acceptsCompression = true }
                #expect(response.body == "hello hello hello".text)
                #expect(response.header("x-offered") == "gzip, deflate")
            }
        }
    }

    @Test func `one that floods headers`() async throws {
        try await check([.tooLarge]) { peer in
            peer.write("HTTP/1.1 200 OK\r\n")
            while peer.write("X-Flood: 0123456789\r\n") {}
        }
        try await check([.tooLarge]) { peer in
            while peer.write("HTTP/1.1 100 Continue\r\n\r\n") {}
        }
        try await check([.tooLarge, .protocolError]) { peer in
            peer.write("HTTP/1.1 200 OK\r\nX-Long: ")
            while peer.write(String(repeating: "a", count: 4_096)) {}
        }
        try await check([.tooLarge]) { peer in
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
            while peer.write("X-Trailer: 0123456789\r\n") {}
        }
    }

    @Test(
        "one that breaks its chunks",
        arguments: ["zz\r\nok\r\n", "-1\r\nok\r\n", "ffffffffffffffffff\r\nok\r\n", "2\r\nokay\r\n0\r\n\r\n"])
    func chunks(_ body: String) async throws {
        try await check([.protocolError, .connectionLost, .tooLarge]) { peer in
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(body)")
        }
    }

    @Test(
        "one that does not speak HTTP",
        arguments: [
            "SSH-2.0-OpenSSH_9.2\r\n", "220 mail ESMTP\r\n", "\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 99 No\r\n\r\n",
            "{}",
        ])
    func noise(_ answer: String) async throws {
        try await check([.protocolError, .connectionLost]) { peer in
            peer.write(answer)
        }
    }

    @Test func `one that closes or resets before or in the middle of its answer`() async throws {
        try await check([.connectionLost]) { _ in }
        try await check([.connectionLost]) { $0.resetOnClose() }
        try await check([.connectionLost, .protocolError]) { peer in peer.write("HTTP/1.1 200 OK\r\nContent-Le") }
        try await check([.connectionLost]) { peer in peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab") }
    }

    @Test func `one that lies about its length`() async throws {
        try await check([.connectionLost]) { peer in peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort") }
        try await check([.protocolError, .connectionLost, .tooLarge]) { peer in
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nshort")
        }
        // A shorter length than the bytes: the rest belongs to nobody, above all not to the next response on that connection.
        try await withServer({ peer in
            guard peer.request()?.line.contains("/bad") == true else { return peer.ok("fine") }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSTALE")
            peer.answerAll("late")
        }) { server in
            try await withClient { client async throws in
                #expect(try await client.get("http://a.test:\(server.port)/bad").body == "ok".text)
                #expect(try await client.get("http://a.test:\(server.port)/good").body == "fine".text)
            }
        }
    }
}
