import OutboundHTTP
import Synchronization
import Testing

@Suite struct EgressTests {
    @Test func `a name that leads to a forbidden address is refused before anything connects`() async throws {
        try await withServer({ $0.answerAll() }) { server in
            let resolver = ScriptedResolver(["evil.test": [["127.0.0.1"]], "mixed.test": [["8.8.8.8", "127.0.0.1"]], "none.test": [[]]])
            try await withClient(resolver: resolver, policy: .allowing(networks: [], schemes: [.http, .https])) { client async throws in
                #expect(await client.failure("http://evil.test:\(server.port)/")?.code == .addressForbidden)
                #expect(await client.failure("http://mixed.test:\(server.port)/")?.code == .addressForbidden)
                #expect(await client.failure("http://127.0.0.1:\(server.port)/")?.code == .addressForbidden)
                #expect(await client.failure("http://none.test:\(server.port)/")?.code == .dnsFailed)
            }
            #expect(server.accepted == 0)
        }
    }

    @Test func `a name that is rebound between two requests is refused the second time, open connection or not`() async throws {
        try await withServer({ $0.answerAll() }) { server in
            let resolver = ScriptedResolver(["re.test": [["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"], ["127.0.0.1", "169.254.169.254"]]])
            try await withClient(resolver: resolver) { client async throws in
                let url = "http://re.test:\(server.port)/"

                #expect(try await client.get(url).status == 200)
                #expect(await client.failure(url)?.code == .addressForbidden)
                #expect(try await client.get(url).openedConnection == false)
                #expect(await client.failure(url)?.code == .addressForbidden)
            }
            #expect(server.accepted == 1)
        }
    }

    @Test func `the connection goes to the vetted address of this request, not to one that the name had before`() async throws {
        let name: @Sendable (String) -> @Sendable (Peer) -> Void = { name in { peer in peer.answerAll(name) } }
        try await withServer(at: "127.0.0.1", name("first")) { first in
            let second = try ToyServer("127.0.0.2", port: first.port, handle: name("second"))
            defer { second.stop() }
            let resolver = ScriptedResolver(["moved.test": [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"], ["127.0.0.1"]]])
            try await withClient(resolver: resolver) { client async throws in
                var bodies: [String] = []
                for _ in 1...4 { bodies.append(String(decoding: try await client.get("http://moved.test:\(first.port)/").body, as: UTF8.self)) }

                #expect(bodies == ["first", "second", "second", "first"])
            }
            #expect(resolver.lookups == 4)
            #expect(first.accepted == 1)
            #expect(second.accepted == 1)
        }
    }

    @Test func `names that only the C library would understand are never looked up`() async throws {
        let resolver = ScriptedResolver()
        try await withClient(resolver: resolver) { client async throws in
            for host in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"] {
                #expect(await client.failure("http://\(host):8080/")?.code == .invalidURL)
            }
        }
        #expect(resolver.lookups == 0)
    }
}

@Suite struct RedirectTests {
    private func redirecting(_ respond: @escaping @Sendable (ToyServer.Request) -> (Int, String)) -> @Sendable (Peer) -> Void {
        { peer in
            while let request = peer.request() {
                let (status, location) = respond(request)
                if status == 200 {
                    peer.ok(
                        [request.line, request.header("authorization") ?? "-", request.header("accept") ?? "-", "\(request.body.count)"].joined(
                            separator: "|"))
                } else {
                    peer.write("HTTP/1.1 \(status) X\r\n\(location)Content-Length: 0\r\n\r\n")
                }
            }
        }
    }

    @Test func `redirects are followed only when asked, at most so many`() async throws {
        try await withServer(
            redirecting { request in
                let number = Int(request.line.split(separator: " ")[1].dropFirst()) ?? 0
                return number == 0 ? (200, "") : (302, "Location: /\(number - 1)\r\n")
            }
        ) { server in
            try await withClient { client async throws in
                let url = "http://a.test:\(server.port)"
                #expect(try await client.get("\(url)/3").status == 302)
                #expect(try await client.get("\(url)/3") { $0.redirects = .follow(atMost: 3) }.status == 200)
                #expect(await client.failure("\(url)/4") { $0.redirects = .follow(atMost: 3) }?.code == .redirectRefused)
                #expect(await client.failure("\(url)/1") { $0.redirects = .follow(atMost: 0) }?.code == .redirectRefused)
            }
        }
    }

    @Test(
        "a redirect to a forbidden or unreadable place is refused",
        arguments: [
            ("Location: http://10.0.0.1/\r\n", OutboundFailure.Code.addressForbidden),
            ("Location: http://169.254.169.254/latest/\r\n", .addressForbidden),
            ("Location: http://private.test:8080/\r\n", .addressForbidden), ("Location: http://[::ffff:10.0.0.1]/\r\n", .addressForbidden),
            ("Location: http://a.test:22/\r\n", .portForbidden), ("Location: file:///etc/passwd\r\n", .redirectRefused),
            ("Location: gopher://a.test/\r\n", .redirectRefused), ("Location: http://0x7f.1/\r\n", .redirectRefused),
            ("Location: http://user@a.test/\r\n", .redirectRefused), ("Location: /\u{fc}\r\n", .redirectRefused),
            ("Location: \r\n", .redirectRefused),
            ("", .redirectRefused), ("Location: /a\r\nLocation: /b\r\n", .redirectRefused), ("Location: /loop\r\n", .redirectRefused),
        ])
    func places(_ location: String, _ code: OutboundFailure.Code) async throws {
        try await withServer(redirecting { _ in (302, location) }) { server in
            let resolver = ScriptedResolver(["private.test": [["10.0.0.1"]]])
            try await withClient(resolver: resolver) { client async throws in
                #expect(await client.failure("http://a.test:\(server.port)/loop") { $0.redirects = .follow(atMost: 5) }?.code == code)
            }
        }
    }

    @Test func `another origin gets neither credentials nor a body`() async throws {
        try await withServer(
            redirecting { request in
                switch request.line.split(separator: " ")[1] {
                case "/away": (302, "Location: http://b.test:\(request.header("host")?.split(separator: ":").last ?? "")/end\r\n")
                case "/near": (303, "Location: /end\r\n")
                case "/again": (307, "Location: /end\r\n")
                default: (200, "")
                }
            }
        ) { server in
            try await withClient { client async throws in
                func body(_ method: OutboundRequest.Method, _ path: String) async throws -> String {
                    var request = try OutboundRequest(
                        method, "http://a.test:\(server.port)\(path)", headers: ["authorization": "secret", "accept": "a/b"],
                        body: method == .post ? [1, 2, 3] : [])
                    request.redirects = .follow(atMost: 2)
                    return String(decoding: try await client.send(request).body, as: UTF8.self)
                }
                #expect(try await body(.get, "/away") == "GET /end HTTP/1.1|-|a/b|0")
                #expect(try await body(.get, "/near") == "GET /end HTTP/1.1|secret|a/b|0")
                #expect(try await body(.post, "/away") == "GET /end HTTP/1.1|-|a/b|0")
                #expect(try await body(.post, "/near") == "GET /end HTTP/1.1|secret|a/b|0")
                #expect(try await body(.get, "/again") == "GET /end HTTP/1.1|secret|a/b|0")
                await #expect { try await body(.post, "/again") } throws: { ($0 as? OutboundFailure)?.code == .redirectRefused }
            }
        }
    }
}
