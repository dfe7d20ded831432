package import Domain
package import Hummingbird
import HTTPTypes
package import Logging
import NIOCore
import Primitives

/// What travels with one request: its id, its logger, and after authentication who is calling.
package struct WebContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// `req_` and 26 characters, or the caller's own; in every problem, every log line and the header `X-Request-Id`.
    package private(set) var requestID: String
    /// The peer's address without port; "unknown" for in-memory transports.
    package let peerAddress: String
    /// Set by `Authentication`; routes behind it use `authenticated`.
    package var caller: Caller?
    /// For closing the connection after an answer that says so.
    let channel: any Channel

    package init(source: ApplicationRequestContextSource) {
        requestID = Self.makeRequestID()
        channel = source.channel
        peerAddress = source.channel.remoteAddress?.ipAddress ?? "unknown"
        var logger = source.logger
        // One id per request, and not the server's beside it.
        logger[metadataKey: "hb.request.id"] = nil
        logger[metadataKey: "request.id"] = "\(requestID)"
        coreContext = CoreRequestContextStorage(source: ApplicationRequestContextSource(channel: source.channel, logger: logger))
    }

    static func makeRequestID() -> String { "req_" + Hex.encode(SystemRandom().bytes(13)) }

    /// Takes over the id that the caller has for this request in `X-Request-Id`, if it has a form in which nothing else can hide: a UUID, 32
    /// hexadecimal digits (a trace id), or one of ours. Anything else is ignored: what stands in a log must not be a stranger's choice.
    mutating func adoptRequestID(of request: Request) {
        guard let text = request.headers[.requestID], Self.isWellFormed(text) else { return }
        requestID = text.lowercased()
        logger[metadataKey: "request.id"] = "\(requestID)"
    }

    private static func isWellFormed(_ text: String) -> Bool {
        func isHex(_ text: some StringProtocol, _ count: Int) -> Bool {
            text.utf8.count == count && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0 | 0x20) }
        }
        if text.hasPrefix("req_") { return isHex(text.dropFirst(4), 26) }
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        guard groups.count == 5 else { return isHex(text, 32) }
        return zip(groups, [8, 4, 4, 4, 12]).allSatisfy { isHex($0, $1) }
    }

    package var maxUploadSize: Int { 4 * 1_024 * 1_024 }

    /// The caller. Throws `missing_key` when a route forgot to stand behind `Authentication`.
    package func authenticated() throws -> Caller {
        guard let caller else { throw Problem(.missingKey, "Send Authorization: Bearer and an API key.") }
        return caller
    }
}

extension HTTPField.Name {
    // A constant name; the fallback is never taken because it is a valid token (RFC 9110 §5.6.2).
    package static let requestID = HTTPField.Name("X-Request-Id") ?? .date
}
