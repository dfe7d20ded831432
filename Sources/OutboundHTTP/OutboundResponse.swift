/// What the peer answered. Every status is a response; none is a failure.
package struct OutboundResponse: Sendable, CustomStringConvertible, CustomReflectable {
    package struct Header: Hashable, Sendable {
        /// Lower case.
        package var name: String
        /// Without spaces around it; bytes that are not UTF-8 are replaced.
        package var value: String
    }

    package enum Version: Hashable, Sendable { case http1, http2 }

    package var status: Int
    /// In the order of the wire, without trailers.
    package var headers: [Header]
    package var body: [UInt8]
    /// The body was longer, and the request wanted only its beginning.
    package var isTruncated: Bool
    package var version: Version
    /// Whether a connection was opened for it, rather than one reused.
    package var openedConnection: Bool
    /// From the call of `send`.
    package var duration: Duration

    /// The first field of this name, in any case.
    package func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name == name }?.value
    }

    package var isSuccess: Bool { (200...299).contains(status) }

    /// `Retry-After` in its form of seconds (RFC 9110 §10.2.3), at most a day. Its form of a date is left to who knows the time.
    package var retryAfter: Duration? {
        guard let text = header("retry-after"), (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text).map { .seconds(min($0, 86_400)) }
    }

    /// Status and size; never a header or the body.
    package var description: String { "\(status), \(body.count) bytes" }
    package var customMirror: Mirror { Mirror(self, children: ["status": status, "bytes": body.count]) }
}
