import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Synchronization

/// The listening sockets: `GET /ws/chat` becomes a client's WebSocket, every other request goes to the control API.
final class SimulatorServer: Sendable {
    static let path = "/ws/chat"

    private let group: MultiThreadedEventLoopGroup
    private let listeners: [any Channel]
    let port: Int
    let securePort: Int?
    private let isStopped = Mutex(false)

    static func start(engine: Engine, configuration: WhatsAppSimulator.Configuration) async throws -> SimulatorServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, configuration.threads))
        do {
            let plain = try await listen(engine, group, host: configuration.host, port: configuration.port, tls: nil)
            guard let tls = configuration.tls else { return SimulatorServer(group, plain, nil) }
            let chain = try NIOSSLCertificate.fromPEMFile(tls.certificateFile).map { NIOSSLCertificateSource.certificate($0) }
            let key = try NIOSSLPrivateKey(file: tls.privateKeyFile, format: .pem)
            let context = try NIOSSLContext(configuration: .makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key)))
            return SimulatorServer(group, plain, try await listen(engine, group, host: configuration.host, port: tls.port, tls: context))
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private init(_ group: MultiThreadedEventLoopGroup, _ plain: any Channel, _ secure: (any Channel)?) {
        self.group = group
        listeners = [plain] + (secure.map { [$0] } ?? [])
        port = plain.localAddress?.port ?? 0
        securePort = secure?.localAddress?.port
    }

    /// Ends every connection with its thread. Only the first call does; others return at once.
    func stop() async {
        // A group that is shut down twice never answers the second time.
        let isFirst = isStopped.withLock { isStopped in
            defer { isStopped = true }
            return !isStopped
        }
        guard isFirst else { return }
        for listener in listeners { try? await listener.close() }
        try? await group.shutdownGracefully()
    }

    private static func listen(
        _ engine: Engine, _ group: MultiThreadedEventLoopGroup, host: String, port: Int, tls: NIOSSLContext?
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try configure(channel, engine)
                }
            }
            .bind(host: host, port: port).get()
    }

    private static func configure(_ channel: any Channel, _ engine: Engine) throws {
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: NoiseChannelHandler.maximumFrame + 4096,
            shouldUpgrade: { channel, head in
                // No extension is ever agreed to, so clients that offer compression go without.
                channel.eventLoop.makeSucceededFuture(head.uri.split(separator: "?").first.map(String.init) == path ? HTTPHeaders() : nil)
            },
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(NoiseChannelHandler(engine: engine)) }
            })
        let control = ControlHandler(engine: engine)
        let boundControl = NIOLoopBound(control, eventLoop: channel.eventLoop)
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withServerUpgrade: (
                upgraders: [upgrader],
                completionHandler: { context in context.pipeline.syncOperations.removeHandler(boundControl.value, promise: nil) }
            ))
        try channel.pipeline.syncOperations.addHandler(control)
    }
}
