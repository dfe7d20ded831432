import Proof

/// Bytes that no honest client sends, and what the listener may answer.
struct RawCase: Sendable {
    var name: String
    var bytes: [UInt8]
    /// Statuses that the first answer may have; empty: there may be no answer at all.
    var first: Set<Int>
    /// Answers at most: one more was smuggled. As many as that, where the connection has to stay.
    var answers = 1
    /// Whether the listener has to end the connection; nil: it may, and then leaves answers out.
    var closes: Bool?
    /// May not occur in what is heard.
    var never: String?
    /// It may also end without an answer.
    var maySayNothing = false

    init(
        _ name: String, _ text: String, _ first: Set<Int>, answers: Int = 1, closes: Bool? = true, never: String? = nil, maySayNothing: Bool = false
    ) {
        self.name = name
        bytes = Array(text.utf8)
        self.first = first
        self.answers = answers
        self.closes = closes
        self.never = never
        self.maySayNothing = maySayNothing
    }

    /// What was wrong with the answer; nil: nothing.
    func complaint(port: Int) async throws -> String? {
        let connection = try await RawConnection.open(port: port)
        await connection.say(bytes)
        let isClosed: Bool
        if closes == true {
            isClosed = try await connection.ends(within: .seconds(10))
        } else {
            _ = try await connection.answers(answers, within: .seconds(10))
            // One too many would come now.
            isClosed = try await connection.ends(within: .milliseconds(300))
        }
        let statuses = connection.statuses
        let heard = connection.heard
        await connection.close()
        if let status = statuses.first {
            if !first.contains(status) { return "\(name): \(status)" }
        } else if !maySayNothing {
            return "\(name): no answer\(isClosed ? ", closed" : "")"
        }
        if statuses.count > answers { return "\(name): \(statuses.count) answers" }
        if closes == false || !isClosed, statuses.count < answers { return "\(name): \(statuses.count) answers" }
        if closes == true, !isClosed { return "\(name): not closed" }
        if let never, heard.contains(never) { return "\(name): \(never) was heard" }
        return nil
    }

    private static let host = "Host: gateway\r\n"

    static func all(key: String) -> [RawCase] {
        let key = "Authorization: Bearer \(key)\r\n"
        let json = "Content-Type: application/json\r\n"
        let post = "POST /v1/messages HTTP/1.1\r\n\(host)\(key)\(json)"
        let get = "GET /healthz HTTP/1.1\r\n\(host)\r\n"
        // What must never be taken for a request of its own.
        let hidden = "GET /healthz HTTP/1.1\r\n\(host)X: y\r\n\r\n"
        let many = (0..<100_000).map { "X-\($0): 1\r\n" }.joined()
        let mebibyte = String(repeating: "a", count: 1 << 20)
        return [
            RawCase("100,000 headers", "GET /healthz HTTP/1.1\r\n\(host)\(many)\r\n", [431, 400]),
            RawCase("a header of 1 MiB", "GET /healthz HTTP/1.1\r\n\(host)X: \(mebibyte)\r\n\r\n", [431, 400]),
            RawCase("a header name of 1 MiB", "GET /healthz HTTP/1.1\r\n\(host)\(mebibyte): x\r\n\r\n", [431, 400]),
            RawCase("a path of 1 MiB", "GET /\(mebibyte) HTTP/1.1\r\n\(host)\r\n", [414, 431, 400]),
            RawCase("a method of 1 MiB", "\(mebibyte) / HTTP/1.1\r\n\(host)\r\n", [431, 400, 501]),
            RawCase("length and chunks", "\(post)Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\(hidden)", [400]),
            RawCase("chunks and length", "\(post)Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n\(hidden)", [400]),
            RawCase("two lengths", "\(post)Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}\(hidden)", [400]),
            RawCase("a list of lengths", "\(post)Content-Length: 2, 60\r\n\r\n{}\(hidden)", [400]),
            RawCase("a length with a sign", "\(post)Content-Length: +2\r\n\r\n{}", [400]),
            RawCase("a negative length", "\(post)Content-Length: -2\r\n\r\n{}", [400]),
            RawCase("a length beyond 64 bits", "\(post)Content-Length: 99999999999999999999999\r\n\r\n{}", [400, 413]),
            RawCase(
                "chunked twice", "\(post)Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n\(hidden)", [400, 501, 422], answers: 2, closes: nil),
            RawCase("not really chunked", "\(post)Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n\(hidden)", [400, 501]),
            RawCase("chunked, then identity", "\(post)Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n\(hidden)", [400, 501]),
            RawCase("a chunk of more than 64 bits", "\(post)Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", [400, 413]),
            RawCase(
                "a chunk extension of 1 MiB", "\(post)Transfer-Encoding: chunked\r\n\r\n2;x=\(mebibyte)\r\n{}\r\n0\r\n\r\n", [400, 413, 422, 431],
                closes: false),
            RawCase("a chunk ended by a bare line feed", "\(post)Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n\(hidden)", [400]),
            RawCase(
                "a trailer that says a length", "\(post)Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 60\r\n\r\n\(get)",
                [422, 400], answers: 2, closes: nil),
            RawCase(
                "trailers of 1 MiB", "\(post)Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: \(mebibyte)\r\n\r\n", [400, 422, 431], closes: false
            ),
            RawCase("a folded header", "GET /healthz HTTP/1.1\r\n\(host)X: a\r\n b\r\n\r\n", [400, 200], closes: false),
            RawCase("a folded length", "\(post)Content-Length: 2\r\n 0\r\n\r\n{}", [400, 422], closes: false),
            RawCase("bare line feeds", "GET /healthz HTTP/1.1\nHost: gateway\n\n", [400]),
            RawCase("a bare carriage return", "GET /healthz HTTP/1.1\r\nHost: gateway\rX: y\r\n\r\n", [400]),
            RawCase("a space before the colon", "\(post)Content-Length : 2\r\n\r\n{}", [400]),
            RawCase("a header without a name", "GET /healthz HTTP/1.1\r\n\(host): x\r\n\r\n", [400]),
            RawCase("NUL in a header", "GET /healthz HTTP/1.1\r\n\(host)X: a\0b\r\n\r\n", [400]),
            RawCase("NUL in the path", "GET /health\0z HTTP/1.1\r\n\(host)\r\n", [400]),
            RawCase(
                "line breaks in the path", "GET /v1/%0d%0aX-Smuggled:%20yes HTTP/1.1\r\n\(host)\(key)\r\n", [400, 404], closes: false,
                never: "\r\nX-Smuggled"),
            RawCase(
                "line breaks in the request id", "GET /healthz HTTP/1.1\r\n\(host)X-Request-Id: a%0d%0aX-Smuggled: yes\r\n\r\n", [200], closes: false,
                never: "\r\nX-Smuggled"),
            RawCase("no host", "GET /healthz HTTP/1.1\r\n\r\n", [400, 200], closes: false),
            RawCase("two hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400, 200], closes: false),
            RawCase("HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0", [400, 505]),
            RawCase(
                "HTTP/2 by upgrade",
                "GET /healthz HTTP/1.1\r\n\(host)Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
                [200, 400], closes: false),
            RawCase("a pseudo header", "GET /healthz HTTP/1.1\r\n\(host):path: /v1/messages\r\n\r\n", [400]),
            RawCase("HTTP/0.9", "GET /healthz\r\n\r\n", [400, 505], maySayNothing: true),
            RawCase("HTTP/9.9", "GET /healthz HTTP/9.9\r\n\(host)\r\n", [400, 505]),
            RawCase("no HTTP at all", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n", [400], maySayNothing: true),
            RawCase("three requests at once", get + get + get, [200], answers: 3, closes: false),
            RawCase("a request behind a body", "\(post)Content-Length: 2\r\n\r\n{}\(get)", [422], answers: 2, closes: false),
            RawCase(
                "a request behind too large a body", "\(post)Content-Length: 600000\r\n\r\n\(String(repeating: " ", count: 600_000))\(get)", [413],
                answers: 2, closes: nil),
            RawCase("1,000 requests at once", String(repeating: get, count: 1_000), [200], answers: 1_000, closes: false),
        ]
    }
}
