/// One header field of a request, checked so that it cannot become two: the name is a token, the value printable ASCII (RFC 9110 §5.1, §5.5).
package struct OutboundHeader: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    package let name: String
    /// May hold secrets.
    package let value: String

    /// Refuses CR, LF, NUL and everything else that is not printable, spaces around the value, more than 8 KiB, and the names below.
    package init(_ name: String, _ value: String) throws(OutboundFailure) {
        guard (1...128).contains(name.utf8.count), name.utf8.allSatisfy(Self.isTokenByte) else { throw .invalidRequest("a header name is no token") }
        let lowercased = name.lowercased()
        guard !Self.reserved.contains(lowercased), !lowercased.hasPrefix("proxy-") else {
            throw .invalidRequest("the header \(lowercased) is set by the client itself or never")
        }
        guard value.utf8.count <= 8_192, value.utf8.allSatisfy({ (0x20...0x7e).contains($0) || $0 == 0x09 }),
            value.utf8.first.map({ $0 > 0x20 }) ?? true, value.utf8.last.map({ $0 > 0x20 }) ?? true
        else { throw .invalidRequest("the value of the header \(lowercased) has forbidden characters or is too long") }
        self.name = name
        self.value = value
    }

    /// The name alone.
    package var description: String { name }
    package var customMirror: Mirror { Mirror(self, children: ["name": name]) }

    /// Framing, routing and identity are ours; cookies are never sent.
    private static let reserved: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "http2-settings",
        "accept-encoding", "user-agent", "cookie", "cookie2",
    ]

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
