import NIOCore
import NIOPosix
import Synchronization

/// A TCP connection to a server on this machine that says exactly what it is told, right or wrong.
package final class RawConnection: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var isClosed = false
    }

    private let channel: any Channel
    private let collector: Collector

    package static func open(port: Int) async throws -> RawConnection {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { $0.pipeline.addHandler(collector) }
            .connect(host: "127.0.0.1", port: port).get()
        return RawConnection(channel, collector)
    }

    private init(_ channel: any Channel, _ collector: Collector) {
        self.channel = channel
        self.collector = collector
    }

    /// False: the connection is gone.
    @discardableResult
    package func say(_ bytes: some Sequence<UInt8>) async -> Bool {
        do { try await channel.writeAndFlush(ByteBuffer(bytes: Array(bytes))) } catch { return false }
        return true
    }

    @discardableResult
    package func say(_ text: String) async -> Bool { await say(Array(text.utf8)) }

    /// All that was heard so far.
    package var heard: String { String(decoding: collector.state.withLock { $0.bytes }, as: UTF8.self) }
    package var isClosed: Bool { collector.state.withLock { $0.isClosed } }

    /// The status codes of all answers so far, in order.
    package var statuses: [Int] {
        heard.split(separator: "HTTP/1.1 ", omittingEmptySubsequences: false).dropFirst().compactMap { Int($0.prefix(3)) }
    }

    /// Whether the other side ends the connection within `limit`.
    package func ends(within limit: Duration) async throws -> Bool { try await waits(limit) { self.isClosed } }

    /// Whether so many answers come within `limit`.
    package func answers(_ count: Int, within limit: Duration) async throws -> Bool {
        _ = try await waits(limit) { self.statuses.count >= count || self.isClosed }
        return statuses.count >= count
    }

    private func waits(_ limit: Duration, _ isTrue: () -> Bool) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while !isTrue() {
            guard ContinuousClock.now < end else { return false }
            try await ContinuousClock().sleep(for: .milliseconds(5))
        }
        return true
    }

    /// Ends it without a word of farewell: a reset.
    package func reset() async {
        channel.reset()
        do { try await channel.closeFuture.get() } catch {}
    }

    package func close() async {
        do { try await channel.close() } catch {}
    }

    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = unwrapInboundIn(data)
            state.withLock { $0.bytes += buffer.readableBytesView }
        }

        func channelInactive(context: ChannelHandlerContext) {
            state.withLock { $0.isClosed = true }
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            state.withLock { $0.isClosed = true }
            context.close(promise: nil)
        }
    }
}
