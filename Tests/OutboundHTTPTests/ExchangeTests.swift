import Foundation
import OutboundHTTP
import Synchronization
import Testing

@Suite struct ExchangeTests {
    @Test(
        "the request on the wire is the one that was asked for, and nothing besides",
        arguments: [
            (OutboundRequest.Method.get, ""), (.head, ""), (.post, "hello"), (.post, ""), (.put, "hello"), (.put, ""), (.patch, "hello"),
            (.delete, ""),
            (.delete, "hello"),
        ])
    func wire(_ method: OutboundRequest.Method, _ body: String) async throws {
        try await withServer({ peer in
            while let request = peer.request() {
                let names = request.head.split(separator: "\r\n").dropFirst().map { $0.prefix { $0 != ":" }.lowercased() }.sorted()
                let echo = [
                    request.line, request.header("host") ?? "", request.header("user-agent") ?? "", names.joined(separator: ","),
                    request.header("x-a") ?? "",
                ]
                peer.ok(request.line.hasPrefix("HEAD") ? "" : (echo + [String(decoding: request.body, as: UTF8.self)]).joined(separator: "|"))
            }
        }) { server in
            try await withClient { client async throws in
                let request = try OutboundRequest(
                    method, "http://a.test:\(server.port)/p%20a/../b?q=1", headers: ["x-a": "1", "x-empty": ""], body: body.text)
                let response = try await client.send(request)

                #expect(response.status == 200)
                guard method != .head else { return #expect(response.body.isEmpty) }
                let hasBody = !body.isEmpty || [.post, .put, .patch].contains(method)
                let names = "accept" + (hasBody ? ",content-length" : "") + ",host,user-agent,x-a,x-empty"
                #expect(
                    String(decoding: response.body, as: UTF8.self)
                        == "\(method.rawValue) /b?q=1 HTTP/1.1|a.test:\(server.port)|toy/1|\(names)|1|\(body)")
            }
        }
    }

    @Test func `what must not arrive twice has a connection of its own, since libcurl repeats what it sent over one that was closed`() async throws {
        let arrived = Mutex(0)
        try await withServer({ peer in
            // The first request of all is answered; whatever comes later is read, and the connection closed.
            while peer.request() != nil {
                let count = arrived.withLock { count in
                    count += 1
                    return count
                }
                guard count == 1 else { return }
                peer.ok()
            }
        }) { server in
            try await withClient { client async throws in
                let url = "http://a.test:\(server.port)/"
                _ = try await client.send(try OutboundRequest(.post, url, body: "x".text))
                var once = try OutboundRequest(.post, url, body: "y".text)
                once.ownConnection = true

                await #expect(throws: OutboundFailure.self) { _ = try await client.send(once) }
                #expect(arrived.withLock { $0 } == 2)
                // The kept connection is still there, and shows what libcurl does.
                await #expect(throws: OutboundFailure.self) { _ = try await client.send(try OutboundRequest(.post, url, body: "z".text)) }
                #expect(arrived.withLock { $0 } == 4)
            }
        }
    }

    @Test func `connections are reused, cookies never come back, and response headers are readable`() async throws {
        try await withServer({ peer in
            while let request = peer.request() {
                peer.ok(request.header("cookie") ?? "none", "Set-Cookie: a=b\r\nX-Many:  one \r\nx-many: two\r\nRetry-After: 35\r\n")
            }
        }) { server in
            try await withClient { client async throws in
                var responses: [OutboundResponse] = []
                for _ in 1...5 { responses.append(try await client.get("http://a.test:\(server.port)/")) }

                #expect(responses.map(\.openedConnection) == [true, false, false, false, false])
                #expect(responses.allSatisfy { $0.body == "none".text })
                #expect(responses[0].headers.filter { $0.name == "x-many" }.map(\.value) == ["one", "two"])
                #expect(responses[0].header("X-MANY") == "one")
                #expect(responses[0].retryAfter == .seconds(35))
                #expect(responses[0].version == .http1)
            }
            #expect(server.accepted == 1)
        }
    }

    @Test(arguments: [204, 302, 400, 410, 429, 500, 503])
    func `every status is a response`(_ status: Int) async throws {
        try await withServer({ peer in
            guard peer.request() != nil else { return }
            peer.write("HTTP/1.1 \(status) X\r\nLocation: http://127.0.0.1:1/\r\n" + (status == 204 ? "\r\n" : "Content-Length: 0\r\n\r\n"))
            peer.waitForClose()
        }) { server in
            try await withClient { client async throws in
                #expect(try await client.get("http://a.test:\(server.port)/").status == status)
            }
        }
    }

    @Test func `a large body goes up and down unchanged`() async throws {
        try await withServer({ peer in
            while let request = peer.request() { peer.ok(String(decoding: request.body.reversed(), as: UTF8.self)) }
        }) { server in
            try await withClient { client async throws in
                let body = (0..<3_000_000).map { UInt8(0x20 + $0 % 90) }
                var request = try OutboundRequest(.post, "http://a.test:\(server.port)/", body: body)
                request.bodyLimit = body.count

                #expect(try await client.send(request).body == body.reversed())
            }
        }
    }

    @Test func `the environment's proxy variables are not read`() async throws {
        await #expect(processExitsWith: .success) {
            for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] { setenv(name, "http://127.0.0.1:9", 1) }
            unsetenv("no_proxy")
            try await withServer({ $0.answerAll() }) { server in
                try await withClient { client async throws in _ = try await client.get("http://a.test:\(server.port)/") }
            }
        }
    }

    @Test func `bad settings are found when the client is made`() {
        #expect { try HTTPClient(.init(userAgent: "a\r\nb")) } throws: { ($0 as? OutboundFailure)?.code == .misconfigured }
        #expect { try HTTPClient(.init(userAgent: "a", certificateFile: "/nonexistent.pem")) } throws: {
            ($0 as? OutboundFailure)?.code == .misconfigured
        }
    }

    @Test func `a refused connection is told as such, and the next address is tried`() async throws {
        // Addresses of its own: at 127.0.0.1 another test's server may have the same port.
        try await withServer(at: "127.77.0.2", { $0.answerAll() }) { server in
            let resolver = ScriptedResolver(["two.test": [["127.77.0.1", "127.77.0.2"]], "one.test": [["127.77.0.1"]]])
            try await withClient(resolver: resolver) { client async throws in
                #expect(try await client.get("http://two.test:\(server.port)/").status == 200)
                #expect(try await client.get("http://two.test:\(server.port)/").openedConnection == false)

                let failure = await client.failure("http://one.test:\(server.port)/")
                #expect(failure?.code == .connectFailed)
                #expect(failure?.mayHaveArrived == false)
                #expect(failure?.isTransient == true)
            }
            #expect(server.accepted == 1)
        }
    }
}
