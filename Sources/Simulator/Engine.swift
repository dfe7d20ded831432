import Foundation
import Logging
import NIOCore
import Primitives
import Synchronization
import WhatsAppWire

/// The simulator without its sockets: the state behind one lock, the timers, and the server's keys.
///
/// No call waits inside the lock, and stanzas leave in the order in which the lock was held. Decrypting for simulated devices happens inside it too:
/// some tens of microseconds per copy.
final class Engine: Sendable {
    let identity: ServerIdentity
    let random: any RandomSource
    let logger: Logger
    /// What recipients showed; one consumer.
    let shown: AsyncStream<ReceivedMessage>
    private let state: Mutex<ServerState>
    private let timers: AsyncStream<ServerState.Timer>.Continuation
    private let shownContinuation: AsyncStream<ReceivedMessage>.Continuation
    private let timerTask: Mutex<Task<Void, Never>?>

    init(configuration: WhatsAppSimulator.Configuration, logger: Logger) throws {
        let seed = configuration.seed ?? configuration.random.bytes(32)
        guard seed.count == 32 else { throw SimulatorError(.invalidSeed) }
        identity = try ServerIdentity(seed: seed, now: configuration.now(), random: configuration.random)
        random = configuration.random
        self.logger = logger
        let (timerStream, timers) = AsyncStream.makeStream(of: ServerState.Timer.self)
        let (shown, shownContinuation) = AsyncStream.makeStream(of: ReceivedMessage.self, bufferingPolicy: .bufferingNewest(8192))
        self.timers = timers
        self.shown = shown
        self.shownContinuation = shownContinuation
        state = Mutex(ServerState(configuration: configuration, seed: seed, timers: timers, shown: shownContinuation))
        timerTask = Mutex(nil)
        let clock = configuration.clock
        let task = Task { [weak self] in
            await withDiscardingTaskGroup { group in
                for await timer in timerStream {
                    group.addTask {
                        do { try await clock.sleep(for: timer.delay) } catch { return }
                        self?.withState { state in state.fire(timer.action) }
                    }
                }
                group.cancelAll()
            }
        }
        timerTask.withLock { $0 = task }
    }

    func withState<Result: Sendable, Failure: Error>(_ body: (inout ServerState) throws(Failure) -> Result) throws(Failure) -> Result {
        try state.withLock { state throws(Failure) in try body(&state) }
    }

    /// Ends the timers, due or not, and everybody's waiting.
    func stop() async {
        withState { state in state.stop() }
        timers.finish()
        shownContinuation.finish()
        let task = timerTask.withLock { task in
            defer { task = nil }
            return task
        }
        task?.cancel()
        await task?.value
    }
}

/// The server's Noise key and the certificate that the simulator's own root signed for it.
struct ServerIdentity: Sendable {
    let rootKey: PublicKey
    let staticKey: PrivateKey
    let certificate: [UInt8]

    /// Valid from a year before to ten years after `now`: clients in tests live by other clocks.
    init(seed: [UInt8], now: Date, random: any RandomSource) throws {
        func key(_ name: String) throws -> PrivateKey { try PrivateKey(try HKDF256.derive(seed, salt: [], info: Array(name.utf8), count: 32)) }
        let root = try key("noise root")
        staticKey = try key("noise static")
        rootKey = root.publicKey
        let year: Int64 = 365 * 86_400
        let seconds = Int64(now.timeIntervalSince1970)
        certificate = CertificateChain.make(
            root: root, intermediate: try key("noise intermediate"), leaf: staticKey.publicKey, notBefore: seconds - year,
            notAfter: seconds + 10 * year, random: random)
    }
}
