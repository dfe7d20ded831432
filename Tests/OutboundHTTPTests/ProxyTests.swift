import OutboundHTTP
import Synchronization
import Testing

@Suite struct ProxyTests {
    /// A CONNECT proxy that plays the destination itself; remembers what it was asked.
    private func withProxy(
        _ answer: String = "200 OK", _ body: (ToyServer, @escaping @Sendable () -> [ToyServer.Request]) async throws -> Void
    ) async throws {
        let seen = RequestLog()
        try await withServer({ peer in
            guard let connect = peer.request() else { return }
            seen.add(connect)
            peer.write("HTTP/1.1 \(answer)\r\n\r\n")
            while let request = peer.request() {
                seen.add(request)
                peer.ok()
            }
        }) { server in try await body(server, { seen.all }) }
    }

    private final class RequestLog: Sendable {
        private let requests = Mutex<[ToyServer.Request]>([])
        var all: [ToyServer.Request] { requests.withLock { $0 } }
        func add(_ request: ToyServer.Request) { requests.withLock { $0.append(request) } }
    }

    @Test func `the proxy is told the vetted address, and gets its credentials, which the destination does not`() async throws {
        try await withProxy { server, seen in
            let proxy = try OutboundProxy(
                host: "proxy.test", port: server.port, user: "me", password: "pass:word", policy: .allowing(networks: loopback))
            let resolver = ScriptedResolver(["a.test": [["8.8.8.8"]], "six.test": [["2606:4700::1111"]]])
            try await withClient(resolver: resolver, policy: .allowing(networks: [], schemes: [.http]), proxy: proxy) { client async throws in
                for _ in 1...2 { #expect(try await client.get("http://a.test/x").status == 200) }
                #expect(try await client.get("http://six.test:8080/").status == 200)
            }
            let all = seen()
            #expect(
                all.map(\.line) == [
                    "CONNECT 8.8.8.8:80 HTTP/1.1", "GET /x HTTP/1.1", "GET /x HTTP/1.1", "CONNECT [2606:4700::1111]:8080 HTTP/1.1", "GET / HTTP/1.1",
                ])
            #expect(all[0].header("proxy-authorization") == "Basic bWU6cGFzczp3b3Jk")
            #expect(all[0].header("user-agent") == "toy/1")
            #expect(all[1].header("proxy-authorization") == nil)
            #expect(all[1].header("host") == "a.test")
        }
    }

    @Test func `a forbidden destination is refused before the proxy hears of it`() async throws {
        try await withProxy { server, seen in
            let proxy = try OutboundProxy(host: "127.0.0.1", port: server.port, policy: .allowing(networks: loopback))
            let resolver = ScriptedResolver(["private.test": [["10.0.0.1"]]])
            try await withClient(resolver: resolver, policy: .allowing(networks: [], schemes: [.http]), proxy: proxy) { client async throws in
                #expect(await client.failure("http://private.test/")?.code == .addressForbidden)
            }
            #expect(seen().isEmpty)
        }
    }

    @Test(arguments: [("403 Forbidden", true), ("407 Proxy Authentication Required", false), ("502 Bad Gateway", true)])
    func `a proxy that refuses is a proxy failure`(_ answer: String, isTransient: Bool) async throws {
        try await withProxy(answer) { server, _ in
            let proxy = try OutboundProxy(host: "127.0.0.1", port: server.port, policy: .allowing(networks: loopback))
            try await withClient(proxy: proxy) { client async throws in
                let failure = await client.failure("http://a.test/")
                #expect(failure?.code == .proxyFailed)
                #expect(failure?.isTransient == isTransient)
                #expect(failure?.mayHaveArrived == false)
            }
        }
    }

    @Test func `a proxy that is not there, or not allowed, is a proxy failure`() async throws {
        let closed = try ToyServer { _ in }
        closed.stop()
        let there = try OutboundProxy(host: "127.0.0.1", port: closed.port, policy: .allowing(networks: loopback))
        try await withClient(proxy: there) { client async throws in #expect(await client.failure("http://a.test/")?.code == .proxyFailed) }
        let forbidden = try OutboundProxy(host: "proxy.test", port: closed.port)
        try await withClient(proxy: forbidden) { client async throws in #expect(await client.failure("http://a.test/")?.code == .proxyFailed) }
    }

    @Test(arguments: ["a b", "user@host", "host/path", "host?x", "2130706433", "", "h:1"])
    func `a proxy is a host and a port`(_ host: String) {
        #expect(throws: OutboundFailure.self) { try OutboundProxy(host: host, port: 3_128) }
    }

    @Test func `a proxy's credentials are not printed`() throws {
        let proxy = try OutboundProxy(host: "proxy.test", port: 3_128, user: "CANARY", password: "CANARY")
        var dumped = ""
        dump(proxy, to: &dumped)
        #expect(!"\(proxy) \(String(reflecting: proxy)) \(dumped)".contains("CANARY"))
        #expect(throws: OutboundFailure.self) { try OutboundProxy(host: "proxy.test", port: 3_128, user: "a\r\nb") }
        #expect(throws: OutboundFailure.self) { try OutboundProxy(host: "proxy.test", port: 3_128, user: "a:b") }
    }
}
