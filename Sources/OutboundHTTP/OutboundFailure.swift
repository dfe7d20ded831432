/// Why a request has no response. Says nothing of the path, the query, a header or a body: it may be logged and shown as it is, except
/// that a customer sees `shownCode` instead of `code`.
package struct OutboundFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// Stable: a metric label, and part of what operators read.
    package enum Code: String, Sendable, CaseIterable {
        /// The URL is not one that we send to; `detail` says what is wrong with it.
        case invalidURL = "invalid_url"
        /// A header, a method with a body, or a limit that cannot be.
        case invalidRequest = "invalid_request"
        /// The policy does not allow this scheme.
        case schemeForbidden = "scheme_forbidden"
        /// The policy does not allow this port.
        case portForbidden = "port_forbidden"
        /// The host's name has no address, or the lookup failed.
        case dnsFailed = "dns_failed"
        /// At least one address of the host is not allowed by the policy.
        case addressForbidden = "address_forbidden"
        /// No connection to any of the host's addresses.
        case connectFailed = "connect_failed"
        /// No TLS 1.2 or better with a certificate that we trust for this name.
        case tlsFailed = "tls_failed"
        /// The deadline passed: during the lookup, in the queue, while connecting, or before the response was complete.
        case timeout = "timeout"
        /// The response has more bytes or headers than the request allows.
        case tooLarge = "too_large"
        /// A redirect that we were asked to follow leads too far, from https to http, nowhere, or would carry a body to another host.
        case redirectRefused = "redirect_refused"
        /// The proxy could not be reached or refused the connection.
        case proxyFailed = "proxy_failed"
        /// The peer closed or reset the connection before the response was complete.
        case connectionLost = "connection_lost"
        /// The peer does not speak HTTP, or broke its rules.
        case protocolError = "protocol_error"
        /// Too many requests wait, in all or for this host.
        case overloaded = "overloaded"
        /// The client was closed.
        case closed = "closed"
        /// The calling task was cancelled.
        case canceled = "canceled"
        /// The client's own settings cannot work, such as an unreadable CA file.
        case misconfigured = "misconfigured"
        /// libcurl refused what we asked of it. A bug.
        case `internal` = "internal"
    }

    package var code: Code
    /// A short sentence for the log.
    package var detail: String
    /// Whether the same request may succeed later without anybody changing anything about it.
    package var isTransient: Bool
    /// Whether the peer may have got the request: from the moment that its first byte could leave. When false, a retry is safe for any method.
    package var mayHaveArrived: Bool

    package init(_ code: Code, _ detail: String, isTransient: Bool, mayHaveArrived: Bool = false) {
        self.code = code
        self.detail = detail
        self.isTransient = isTransient
        self.mayHaveArrived = mayHaveArrived
    }

    /// What a customer is told. Everything that happens before the first byte of a request leaves is `unreachable`, so that nobody can use us
    /// to learn which names, hosts and ports exist in our network.
    package var shownCode: String {
        switch code {
        case .dnsFailed, .addressForbidden, .connectFailed, .proxyFailed, .closed, .overloaded, .misconfigured, .internal: "unreachable"
        case .timeout where !mayHaveArrived: "unreachable"
        case .tlsFailed where !mayHaveArrived: "tls_failed"
        default: code.rawValue
        }
    }

    package var description: String { "\(code.rawValue): \(detail)" }
}

extension OutboundFailure {
    static let closed = OutboundFailure(.closed, "the HTTP client is stopping", isTransient: true)

    static func timeout(_ phase: String, mayHaveArrived: Bool = false) -> OutboundFailure {
        OutboundFailure(.timeout, "the deadline passed \(phase)", isTransient: true, mayHaveArrived: mayHaveArrived)
    }

    static func canceled(mayHaveArrived: Bool = false) -> OutboundFailure {
        OutboundFailure(.canceled, "the task was cancelled", isTransient: true, mayHaveArrived: mayHaveArrived)
    }

    static func invalidURL(_ detail: String) -> OutboundFailure { OutboundFailure(.invalidURL, detail, isTransient: false) }

    static func invalidRequest(_ detail: String) -> OutboundFailure { OutboundFailure(.invalidRequest, detail, isTransient: false) }
}
