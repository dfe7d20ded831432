import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Synchronization

/// Opens WebSockets. One is shared by all clients of a process, so that event loops and the TLS context (with its trust roots) exist once.
package final class Dialer: Sendable {
    private let group: any EventLoopGroup
    private let extraRoots: [UInt8]
    private let tlsContext = Mutex<NIOSSLContext?>(nil)

    /// - Parameter extraRoots: PEM certificates trusted besides the system's; empty for none.
    package init(extraRoots: [UInt8] = []) {
        group = MultiThreadedEventLoopGroup.singleton
        self.extraRoots = extraRoots
    }

    /// A WebSocket whose inbound frames are a sequence with back-pressure; outbound frames go straight to `channel`, in the order of the calls.
    typealias Socket = NIOAsyncChannel<WebSocketFrame, Never>

    /// Connects and upgrades. Ends with an error after `timeout` at the latest, or at once when `attempt` is cancelled.
    func dial(_ url: String, timeout: Duration, attempt: DialAttempt) async throws(DialFailure) -> Socket {
        guard let target = Target(url) else { throw DialFailure(code: "bad_url") }
        let limit = TimeAmount.nanoseconds(max(1, timeout.nanosecondsClamped))
        do {
            let context = target.isSecure ? try sharedTLSContext() : nil
            let upgrade = try await ClientBootstrap(group: group)
                .connectTimeout(limit)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 256, initial: 1_024, maximum: 65_536))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        guard attempt.adopt(channel) else { throw DialFailure(code: "canceled") }
                        if let context {
                            try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: target.tlsName))
                        }
                    }
                }
                .connect(host: target.host, port: target.port) { channel in
                    channel.eventLoop.makeCompletedFuture { try Self.upgrade(channel, target: target, limit: limit) }
                }
            guard let socket = try await upgrade.get() else { throw DialFailure(code: "upgrade_refused") }
            return socket
        } catch let failure as DialFailure {
            attempt.cancel()
            throw failure
        } catch is NIOSSLError {
            attempt.cancel()
            throw DialFailure(code: "tls")
        } catch {
            attempt.cancel()
            throw DialFailure(code: "network")
        }
    }

    private static func upgrade(_ channel: any Channel, target: Target, limit: TimeAmount) throws -> EventLoopFuture<Socket?> {
        let upgrader = NIOTypedWebSocketClientUpgrader<Socket?>(maxFrameSize: maximumMessage) { channel, _ in
            channel.eventLoop.makeCompletedFuture {
                try Socket(
                    wrappingChannelSynchronously: channel, configuration: .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8)))
            }
        }
        // The headers that the reference client sends (protocol.md 2.1).
        let headers: HTTPHeaders = [
            "Host": target.hostHeader, "Origin": "https://web.whatsapp.com", "Cache-Control": "no-cache", "Pragma": "no-cache",
        ]
        let future = try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
            configuration: {
                var configuration = NIOUpgradableHTTPClientPipelineConfiguration<Socket?>(
                    upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                        upgradeRequestHead: HTTPRequestHead(version: .http1_1, method: .GET, uri: target.path, headers: headers),
                        upgraders: [upgrader],
                        notUpgradingCompletionHandler: { channel in channel.close().flatMapThrowing { nil } }))
                configuration.leftOverBytesStrategy = .forwardBytes
                return configuration
            }())
        let deadline = channel.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
        future.whenComplete { _ in deadline.cancel() }
        return future
    }

    private func sharedTLSContext() throws -> NIOSSLContext {
        try tlsContext.withLock { known in
            if let known { return known }
            var configuration = TLSConfiguration.makeClientConfiguration()
            if !extraRoots.isEmpty {
                configuration.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMBytes(extraRoots))]
            }
            let context = try NIOSSLContext(configuration: configuration)
            known = context
            return context
        }
    }

    /// Largest WebSocket message accepted: 16 MiB (protocol.md 2.1).
    private static let maximumMessage = 16 << 20

    private struct Target: Sendable {
        var isSecure: Bool
        var host: String
        var port: Int
        var path: String

        init?(_ url: String) {
            guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty else { return nil }
            switch parts.scheme {
            case "ws": isSecure = false
            case "wss": isSecure = true
            default: return nil
            }
            self.host = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
            port = parts.port ?? (isSecure ? 443 : 80)
            guard (1...65_535).contains(port) else { return nil }
            let query = parts.percentEncodedQuery.map { "?" + $0 } ?? ""
            path = (parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath) + query
        }

        var hostHeader: String {
            let name = host.contains(":") ? "[\(host)]" : host
            return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
        }

        /// The name for SNI and verification; an address is verified against the certificate's addresses instead.
        var tlsName: String? { (try? SocketAddress(ipAddress: host, port: port)) == nil ? host : nil }
    }
}

/// Why no WebSocket came about. `code` is stable and safe as a metric label.
struct DialFailure: Error, Sendable {
    var code: String
}

/// One attempt to connect, which another task may cancel while it runs.
final class DialAttempt: Sendable {
    private enum Stage {
        case fresh
        case connecting(any Channel)
        case canceled
    }

    private let stage = Mutex<Stage>(.fresh)

    /// Takes the channel that is being connected; false if the attempt is over already.
    func adopt(_ channel: any Channel) -> Bool {
        stage.withLock { stage in
            if case .canceled = stage { return false }
            stage = .connecting(channel)
            return true
        }
    }

    /// Closes what is being connected.
    func cancel() {
        let channel = stage.withLock { stage -> (any Channel)? in
            defer { stage = .canceled }
            if case .connecting(let channel) = stage { return channel }
            return nil
        }
        channel?.close(promise: nil)
    }
}

extension Duration {
    /// Whole nanoseconds, as many as fit.
    var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : product.addingReportingOverflow(attoseconds / 1_000_000_000).partialValue
    }
}
