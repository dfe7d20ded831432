import OutboundHTTP
import Testing

@Suite struct OutboundURLTests {
    @Test(
        "a URL that two parsers could read differently is refused",
        arguments: [
            "", "https", "https:", "https:/", "https://", "https:///path", "//example.com/", "example.com", "/path", "ftp://example.com/",
            "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "httpss://example.com/", "https:example.com", "https:/example.com",
            "https:\\\\example.com", " https://example.com", "https://example.com ", "https://exa mple.com/", "https://example.com/\r\nHost: evil",
            "https://example.com/\u{0}", "https://example.com/\t", "https://user@example.com/", "https://user:secret@example.com/",
            "https://example.com@127.0.0.1/", "https://127.0.0.1:80@example.com/", "https://@example.com/", "https://example.com/#fragment",
            "https://example.com#@evil.test/", "https://example.com\\@evil.test/", "https://example.com\\.evil.test/", "https://example.com/a\\b",
            "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0x7f.0.0.1/",
            "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.01/", "https://127.0.0.1./", "https://127.0.0.256/",
            "https://1.2.3.4.5/", "https://0/", "https://0x/", "https://example.0x7f/", "https://example.1/", "https://1.2.3.0x4/",
            "https://%31%32%37.0.0.1/", "https://example%2ecom/", "https://ex%00ample.com/", "https://[::1/", "https://::1/", "https://[]/",
            "https://[127.0.0.1]/", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[::ffff:127.1]/", "https://[::1]x/",
            "https://[::1]:/", "https://[::1]:x/", "https://bücher.example/", "https://ｅxample.com/", "https://example。com/", "https://①②⑦.0.0.1/",
            "https://example..com/", "https://.example.com/", "https://example.com../", "https://./", "https://-example.com/",
            "https://example-.com/",
            "https://exa$mple.com/", "https://example.com:/", "https://example.com:0/", "https://example.com:65536/", "https://example.com:99999/",
            "https://example.com:443443/", "https://example.com:+443/", "https://example.com:-1/", "https://example.com:0443/",
            "https://example.com:80:80/", "https://example.com:http/", "https://example.com/%", "https://example.com/%4", "https://example.com/%zz",
            "https://example.com/?q=%", "https://example.com/<a>", "https://example.com/\"", "https://example.com/{a}", "https://example.com/a|b",
            "https://" + String(repeating: "a", count: 64) + ".com/", "https://" + String(repeating: "abc.", count: 64) + "com/",
            "https://example.com/" + String(repeating: "a", count: 2_048),
        ])
    func refused(_ text: String) {
        #expect { try OutboundURL(text) } throws: { ($0 as? OutboundFailure)?.code == .invalidURL }
    }

    @Test(
        "what is accepted is normalised",
        arguments: [
            ("https://example.com", "https://example.com/"), ("HTTPS://EXAMPLE.Com/Path", "https://example.com/Path"),
            ("https://example.com:443/a", "https://example.com/a"), ("http://example.com:80/", "http://example.com/"),
            ("https://example.com:8443?x=1", "https://example.com:8443/?x=1"), ("https://example.com./a", "https://example.com/a"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
            ("https://a_b.example.com/%20?a=%2F@:", "https://a_b.example.com/%20?a=%2F@:"),
            ("https://127.0.0.1/", "https://127.0.0.1/"), ("https://[::1]:8443/", "https://[::1]:8443/"), ("https://[0:0::0:1]/", "https://[::1]/"),
            ("https://[::ffff:127.0.0.1]/", "https://127.0.0.1/"), ("https://[::FFFF:7f00:1]/", "https://127.0.0.1/"),
            ("https://localhost:65535/", "https://localhost:65535/"), ("https://1e100.net/", "https://1e100.net/"),
            ("https://1.2.3.a/", "https://1.2.3.a/"),
        ])
    func accepted(_ text: String, _ expected: String) throws {
        #expect(try OutboundURL(text).text == expected)
    }

    @Test func `neither path nor query is ever printed`() throws {
        let request = try OutboundRequest(
            .post, "https://api.example.com/bot123:CANARY/send?token=CANARY", headers: ["authorization": "CANARY"], body: "CANARY".text)
        var dumped = ""
        dump(request, to: &dumped)
        dump(request.url, to: &dumped)
        dump(request.headers, to: &dumped)

        #expect(
            !"\(request) \(request.url) \(request.headers) \(String(reflecting: request)) \(String(reflecting: request.url)) \(dumped)".contains(
                "CANARY"))
        #expect("\(request)" == "POST https://api.example.com")
    }

    @Test(
        "a Location is resolved like a reference",
        arguments: [
            ("https://b.test/x", "https://b.test/x"), ("//b.test/x", "https://b.test/x"), ("/x?y", "https://a.test:8443/x?y"),
            ("?z", "https://a.test:8443/one/two?z"), ("x", "https://a.test:8443/one/x"), ("x/y:z", "https://a.test:8443/one/x/y:z"),
            ("/x#part", "https://a.test:8443/x"), ("http://b.test/", "http://b.test/"),
        ])
    func locations(_ location: String, _ expected: String) throws {
        #expect(try OutboundURL("https://a.test:8443/one/two?q").following(location: location).text == expected)
    }

    @Test func `no text makes the parser trap`() throws {
        let valid = Array("https://a.example:8443/p%20a?q=[::1]@#".utf8)
        for end in valid.indices { _ = try? OutboundURL(String(decoding: valid[..<end], as: UTF8.self)) }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var bytes = valid
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let url = try? OutboundURL(text) else { continue }
            // Whatever is accepted reads the same again.
            #expect(try OutboundURL(url.text) == url)
        }
    }
}

@Suite struct OutboundRequestTests {
    @Test(
        "a header that could become two, or is ours to set, is refused",
        arguments: [
            ("", "x"), ("a b", "x"), ("a:", "x"), ("a\r\nb", "x"), ("ä", "x"), ("x-a", "1\r\nx-b: 2"), ("x-a", "1\n2"), ("x-a", "1\r2"),
            ("x-a", "1\u{0}2"),
            ("x-a", " 1"), ("x-a", "1\t"), ("x-a", "ü"), ("x-a", "\u{7f}"), ("x-a", String(repeating: "a", count: 8_193)), ("Host", "x"),
            ("Content-Length", "1"), ("transfer-encoding", "chunked"), ("Connection", "close"), ("Cookie", "a=b"), ("Expect", "100-continue"),
            ("Proxy-Authorization", "x"), ("User-Agent", "x"), ("Upgrade", "h2c"), ("TE", "trailers"), ("Accept-Encoding", "gzip"),
        ])
    func headers(_ name: String, _ value: String) {
        #expect { try OutboundHeader(name, value) } throws: { ($0 as? OutboundFailure)?.code == .invalidRequest }
    }

    @Test func `a GET or HEAD carries no body, and a request not more than 64 headers`() throws {
        for method in [OutboundRequest.Method.get, .head] {
            #expect { try OutboundRequest(method, "https://a.test/", body: [1]) } throws: { ($0 as? OutboundFailure)?.code == .invalidRequest }
        }
        let many = [OutboundHeader](repeating: try OutboundHeader("x-a", "1"), count: 65)
        #expect(throws: OutboundFailure.self) { try OutboundRequest(.get, OutboundURL("https://a.test/"), headers: many) }
        #expect(try OutboundRequest(.get, OutboundURL("https://a.test/"), headers: Array(many.dropLast())).headers.count == 64)
    }

    @Test(
        "schemes and ports of the policy",
        arguments: [
            ("https://a.test/", nil, nil), ("https://a.test:8443/", nil, nil), ("https://a.test:1024/", nil, nil),
            ("https://a.test:1023/", "port_forbidden", "port_forbidden"),
            ("https://a.test:22/", "port_forbidden", "port_forbidden"), ("https://a.test:80/", "port_forbidden", "port_forbidden"),
            ("http://a.test/", "scheme_forbidden", nil), ("http://a.test:443/", "scheme_forbidden", "port_forbidden"),
            ("http://a.test:8080/", "scheme_forbidden", nil), ("https://127.0.0.1/", "address_forbidden", nil),
            ("https://10.0.0.1/", "address_forbidden", "address_forbidden"),
            ("https://[::1]/", "address_forbidden", nil), ("https://[::ffff:127.0.0.1]/", "address_forbidden", nil),
        ] as [(String, String?, String?)])
    func policies(_ url: String, _ byPublic: String?, _ byLoopback: String?) throws {
        let url = try OutboundURL(url)
        func code(_ policy: EgressPolicy) -> String? {
            do throws(OutboundFailure) { try policy.check(url) } catch { return error.code.rawValue }
            return nil
        }

        #expect(code(.public) == byPublic)
        #expect(code(.allowing(networks: loopback, schemes: [.http, .https])) == byLoopback)
    }

    @Test func `a customer cannot tell a closed port from a private address, a silent one, or a name that is not there`() {
        let before: [OutboundFailure.Code] = [.dnsFailed, .addressForbidden, .connectFailed, .proxyFailed, .timeout]
        #expect(Set(before.map { OutboundFailure($0, "", isTransient: true).shownCode }) == ["unreachable"])
        #expect(OutboundFailure(.timeout, "", isTransient: true, mayHaveArrived: true).shownCode == "timeout")
        #expect(Set(OutboundFailure.Code.allCases.map(\.rawValue)).count == OutboundFailure.Code.allCases.count)
    }
}
