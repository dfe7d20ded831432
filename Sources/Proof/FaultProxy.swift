import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// A TCP port of this machine in front of a server, which can make the line between them bad: late, dead without a word, or cut.
///
/// What passes is never changed or reordered. A connection that was silenced stays so: what was swallowed is missing.
package final class FaultProxy: Sendable {
    package enum Target: Sendable {
        case socket(String)
        case port(Int)
    }

    /// How the line is from now on.
    package enum Line: Sendable {
        case good
        /// Everything takes so much longer, each way.
        case late(Duration)
        /// Nobody learns that nothing arrives any more: what is open stays open, and what is opened leads nowhere.
        case silent
        /// What is opened is closed at once.
        case closed
    }

    private struct State {
        var target: Target
        var line = Line.good
        var links: [ObjectIdentifier: Link] = [:]
        var taken = 0
    }

    package let port: Int
    private let state: Mutex<State>
    private let listener: any Channel

    package static func start(to target: Target) async throws -> FaultProxy {
        let box = Mutex<FaultProxy?>(nil)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                guard let proxy = box.withLock({ $0 }) else { return channel.close() }
                return proxy.take(channel)
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let proxy = FaultProxy(target, listener)
        box.withLock { $0 = proxy }
        return proxy
    }

    private init(_ target: Target, _ listener: any Channel) {
        state = Mutex(State(target: target))
        self.listener = listener
        port = listener.localAddress?.port ?? 0
    }

    /// Connections that were taken since the start.
    package var taken: Int { state.withLock { $0.taken } }
    /// Of these, still open.
    package var open: Int { state.withLock { $0.links.count } }

    package func set(_ line: Line) {
        let links = state.withLock { state in
            state.line = line
            return Array(state.links.values)
        }
        for link in links { link.set(line) }
    }

    /// What is open now leads nowhere any more, and nobody learns of it; what is opened from now on is as `set` says.
    package func silenceOpen() {
        for link in state.withLock({ Array($0.links.values) }) { link.set(.silent) }
    }

    /// What is opened from now on leads there.
    package func lead(to target: Target) { state.withLock { $0.target = target } }

    /// Resets every open connection, both ways.
    package func cut() {
        for link in state.withLock({ Array($0.links.values) }) { link.cut() }
    }

    package func stop() async {
        do { try await listener.close() } catch {}
        cut()
    }

    private func take(_ channel: any Channel) -> EventLoopFuture<Void> {
        let (target, line) = state.withLock { state in
            state.taken += 1
            return (state.target, state.line)
        }
        if case .closed = line { return channel.close() }
        let link = Link(channel, line)
        let id = ObjectIdentifier(link)
        state.withLock { $0.links[id] = link }
        channel.closeFuture.whenComplete { [weak self] _ in self?.state.withLock { _ = $0.links.removeValue(forKey: id) } }
        // Nobody answers at all, not even by a failure.
        if case .silent = line { return channel.eventLoop.makeSucceededVoidFuture() }
        let bootstrap = ClientBootstrap(group: channel.eventLoop).channelOption(.autoRead, value: false)
        let opening =
            switch target {
            case .socket(let path): bootstrap.connect(unixDomainSocketPath: path)
            case .port(let port): bootstrap.connect(host: "127.0.0.1", port: port)
            }
        opening.whenComplete { result in
            switch result {
            case .success(let server): link.join(server)
            case .failure: channel.close(promise: nil)
            }
        }
        return channel.eventLoop.makeSucceededVoidFuture()
    }
}

extension Channel {
    /// Ends it by a reset instead of an end.
    func reset() {
        guard let socket = self as? any SocketOptionProvider else { return close(promise: nil) }
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in self.close(promise: nil) }
    }
}

/// One connection through a proxy: its two ends live on one event loop.
private final class Link: Sendable {
    private struct State {
        var line: FaultProxy.Line
        var server: (any Channel)?
    }

    private let client: any Channel
    private let state: Mutex<State>

    init(_ client: any Channel, _ line: FaultProxy.Line) {
        self.client = client
        state = Mutex(State(line: line))
    }

    var delay: TimeAmount {
        state.withLock { state in
            guard case .late(let duration) = state.line else { return .zero }
            return .nanoseconds(Int64(duration / .nanoseconds(1)))
        }
    }

    var isSilent: Bool {
        state.withLock { state in
            guard case .silent = state.line else { return false }
            return true
        }
    }

    func join(_ server: any Channel) {
        state.withLock { $0.server = server }
        do {
            try client.pipeline.syncOperations.addHandler(Relay(to: server, self))
            try server.pipeline.syncOperations.addHandler(Relay(to: client, self))
            guard !isSilent else { return }
            for end in [client, server] { try end.syncOptions?.setOption(.autoRead, value: true) }
        } catch {
            cut()
        }
    }

    func set(_ line: FaultProxy.Line) {
        let isOver = state.withLock { state in
            if case .silent = state.line { return true }
            state.line = line
            return false
        }
        guard !isOver, case .silent = line else { return }
        for end in ends { end.setOption(.autoRead, value: false).whenFailure { _ in } }
    }

    func cut() {
        for end in ends {
            end.reset()
        }
    }

    private var ends: [any Channel] { state.withLock { [client] + ($0.server.map { [$0] } ?? []) } }
}

/// Takes what one end says to the other one, in order, each piece when its time has come. Only touched on the event loop.
private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel
    private let link: Link
    /// Nil is the end.
    private var queue: [(due: NIODeadline, bytes: ByteBuffer?)] = []

    init(to other: any Channel, _ link: Link) {
        self.other = other
        self.link = link
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { pass(unwrapInboundIn(data), context) }

    func channelInactive(context: ChannelHandlerContext) {
        if !link.isSilent { pass(nil, context) }
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func pass(_ bytes: ByteBuffer?, _ context: ChannelHandlerContext) {
        let due = max(NIODeadline.now() + link.delay, queue.last?.due ?? .uptimeNanoseconds(0))
        queue.append((due, bytes))
        guard due > .now() else { return drain() }
        context.eventLoop.assumeIsolated().scheduleTask(deadline: due) { self.drain() }
    }

    private func drain() {
        while let first = queue.first, first.due <= .now() {
            queue.removeFirst()
            guard !link.isSilent else { continue }
            if let bytes = first.bytes { other.writeAndFlush(bytes, promise: nil) } else { other.close(promise: nil) }
        }
    }
}
