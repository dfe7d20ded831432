/// One request as its caller wants it. Limits that are left out come from the client's configuration.
///
///     var request = try OutboundRequest(.post, "https://api.example.com/v1/emails", headers: ["authorization": "Bearer …"], body: json)
///     request.deadline = .seconds(10)
///     let response = try await client.send(request)
package struct OutboundRequest: Sendable, CustomStringConvertible, CustomReflectable {
    package enum Method: String, Sendable, CaseIterable {
        case get = "GET", head = "HEAD", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE"
    }

    package enum Redirects: Hashable, Sendable {
        /// A 3xx is a response like any other. For webhooks and APIs.
        case asResponse
        /// GET and HEAD are repeated at the new place, at most so often; each place is vetted like the first, and another origin gets none of
        /// the headers except `accept` and `accept-language`. Other methods: only a 303, or a 301 or 302 after POST, which become GET.
        case follow(atMost: Int)
    }

    package enum Excess: Hashable, Sendable {
        /// A larger body is a failure, `too_large`.
        case fail
        /// The first bytes are the response, `isTruncated` says so, and the connection is given up. For whom only the status counts.
        case truncate
    }

    package let method: Method
    package let url: OutboundURL
    package let headers: [OutboundHeader]
    package let body: [UInt8]
    /// From the call of `send` to the last byte, lookups, queue and redirects included.
    package var deadline: Duration?
    /// For TCP and TLS of all addresses that are tried.
    package var connectDeadline: Duration?
    /// Bytes of the body, counted after decompression.
    package var bodyLimit: Int?
    package var excess = Excess.fail
    package var redirects = Redirects.asResponse
    /// On a connection of its own. libcurl sends a request once more by itself when a connection that it kept turns out to be closed before any
    /// answer; for what must not arrive twice and has no key by which the other side would notice.
    package var ownConnection = false
    /// Offers gzip and deflate. Otherwise compression is neither offered nor undone.
    package var acceptsCompression = false

    package init(_ method: Method, _ url: OutboundURL, headers: [OutboundHeader] = [], body: [UInt8] = []) throws(OutboundFailure) {
        guard body.isEmpty || (method != .get && method != .head) else { throw .invalidRequest("\(method.rawValue) carries no body") }
        guard headers.count <= 64 else { throw .invalidRequest("more than 64 headers") }
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }

    /// Reads the URL and the headers, and refuses what is wrong with them.
    package init(
        _ method: Method, _ url: String, headers: KeyValuePairs<String, String> = [:], body: [UInt8] = []
    ) throws(OutboundFailure) {
        var checked: [OutboundHeader] = []
        for (name, value) in headers { checked.append(try OutboundHeader(name, value)) }
        try self.init(method, OutboundURL(url), headers: checked, body: body)
    }

    /// Method and origin; never the path, a header or the body.
    package var description: String { "\(method.rawValue) \(url)" }
    package var customMirror: Mirror { Mirror(self, children: ["request": description]) }
}

extension OutboundRequest {
    /// The request that this response's redirect asks for; nil if it asks for none.
    func redirected(by response: OutboundResponse) throws(OutboundFailure) -> OutboundRequest? {
        guard [301, 302, 303, 307, 308].contains(response.status) else { return nil }
        let locations = response.headers.filter { $0.name == "location" }
        guard locations.count == 1, let location = locations.first else { throw Self.refused("a redirect without exactly one Location") }
        let next: OutboundURL
        do { next = try url.following(location: location.value) } catch { throw Self.refused("the Location is no acceptable URL: \(error.detail)") }
        guard !(url.scheme == .https && next.scheme == .http) else { throw Self.refused("a redirect from https to http") }
        let becomesGet = response.status == 303 && method != .head || method == .post && response.status <= 302
        guard becomesGet || method == .get || method == .head else { throw Self.refused("a redirect that would repeat \(method.rawValue)") }
        let kept = headers.filter { header in
            let name = header.name.lowercased()
            if next.sharesOrigin(with: url) { return !(becomesGet && name.hasPrefix("content-")) }
            return name == "accept" || name == "accept-language"
        }
        var request = try OutboundRequest(becomesGet ? .get : method, next, headers: kept)
        request.connectDeadline = connectDeadline
        request.bodyLimit = bodyLimit
        request.excess = excess
        request.redirects = redirects
        request.acceptsCompression = acceptsCompression
        return request
    }

    static func refused(_ detail: String) -> OutboundFailure {
        OutboundFailure(.redirectRefused, detail, isTransient: false, mayHaveArrived: true)
    }
}
