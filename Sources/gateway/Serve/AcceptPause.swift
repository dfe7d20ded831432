import Glibc
import Logging
import NIOCore

/// When the process or the machine has no more of what a connection needs, the listening socket rests for a moment before it accepts again. It
/// would otherwise be tried again at once, for ever, with a core's whole time (reliability.md F54). Those who wait stay in the kernel's queue.
final class AcceptPause: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private static let length = TimeAmount.milliseconds(500)
    private static let codes: Set<CInt> = [EMFILE, ENFILE, ENOBUFS, ENOMEM]

    private let logger: Logger
    private var isPausing = false
    /// Said once, until a connection was accepted again.
    private var isReported = false

    /// - Parameter logger: told when connections cannot be accepted, once until they can again.
    init(logger: Logger) { self.logger = logger }

    /// Puts one in front of the server channel's other handlers, so that nobody's wish to accept passes it.
    static func add(to channel: any Channel, logger: Logger) async throws {
        try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.addHandler(AcceptPause(logger: logger), position: .first)
        }.get()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReported = false
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let failure = error as? IOError, Self.codes.contains(failure.errnoCode) else { return context.fireErrorCaught(error) }
        if !isReported { logger.error("connections cannot be accepted", metadata: ["error.code": "\(failure.errnoCode)"]) }
        isReported = true
        guard !isPausing else { return }
        do {
            // Only this takes the socket out of the poll: after an error a read counts as asked for still.
            try context.channel.syncOptions?.setOption(.autoRead, value: false)
            isPausing = true
            context.eventLoop.assumeIsolated().scheduleTask(in: Self.length) { try self.goOn(context.channel) }
        } catch {
            context.fireErrorCaught(error)
        }
    }

    private func goOn(_ channel: any Channel) throws {
        isPausing = false
        try channel.syncOptions?.setOption(.autoRead, value: true)
    }

    func read(context: ChannelHandlerContext) {
        if !isPausing { context.read() }
    }
}
