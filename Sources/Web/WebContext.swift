package import Domain
package import Hummingbird
package import Logging
import NIOCore
import Primitives

/// What travels with one request: its id, its logger, and after authentication who is calling.
package struct WebContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// `req_` and 26 characters; in every problem, every log line and the header `X-Request-Id`.
    package let requestID: String
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
        logger[metadataKey: "request.id"] = "\(requestID)"
        coreContext = CoreRequestContextStorage(source: ApplicationRequestContextSource(channel: source.channel, logger: logger))
    }

    static func makeRequestID() -> String { "req_" + Hex.encode(SystemRandom().bytes(13)) }

    package var maxUploadSize: Int { 4 * 1_024 * 1_024 }

    /// The caller. Throws `missing_key` when a route forgot to stand behind `Authentication`.
    package func authenticated() throws -> Caller {
        guard let caller else { throw Problem(.missingKey, "Send Authorization: Bearer and an API key.") }
        return caller
    }
}
