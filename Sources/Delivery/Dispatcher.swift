import Domain
import Foundation
import Logging
import Synchronization

/// Claims due messages of the senders that can send now, and hands each to the transport in a task of its own.
///
/// A sender has at most `window` messages in flight; one that is full is not asked for until half of them are done, so a slow sender holds up
/// only itself.
final class Dispatcher: Sendable {
    /// Messages of one sender between claim and outcome.
    static let window = 16
    /// Messages one claim takes, of one sender and of all.
    static let perSender = 8
    static let perClaim = 256

    private struct State {
        var ready: [OwnedSender] = []
        var inFlight: [OwnedSender: Int] = [:]
        /// Senders that had more than they were given.
        var hungry: Set<OwnedSender> = []
        var isStopping = false
    }

    private let gateway: Gateway
    private let transport: any Transport
    private let claimDeadline: Duration
    private let drain: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state = Mutex(State())
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation
    /// Ends with ``stop()``; carries nothing.
    private let stopped: AsyncStream<Never>
    private let halt: AsyncStream<Never>.Continuation

    init(gateway: Gateway, transport: any Transport, claimDeadline: Duration, drain: Duration, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.gateway = gateway
        self.transport = transport
        self.claimDeadline = claimDeadline
        self.drain = drain
        self.now = now
        self.logger = logger
        (wakeups, wakeup) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        (stopped, halt) = AsyncStream<Never>.makeStream()
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Something may be due.
    func wake() { wakeup.yield() }

    /// The senders that can send now on this node.
    func ready(_ senders: [OwnedSender]) {
        state.withLock { $0.ready = senders }
        wake()
    }

    /// Nothing more is claimed; `run()` ends when the running sends are over, `drain` later at most.
    func stop() {
        state.withLock { $0.isStopping = true }
        wakeup.finish()
        halt.finish()
    }

    /// Claims and sends until ``stop()`` or cancellation; returns when the last send is over. A cancelled send ends at once.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.dispatch() }
            for await _ in stopped {}
            group.addTask { [drain] in
                // Cancelled: the sends were over first.
                do { try await ContinuousClock().sleep(for: drain) } catch {}
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func dispatch() async {
        await withDiscardingTaskGroup { group in
            for await _ in wakeups {
                var more = true
                while more, !Task.isCancelled, !isStopping {
                    let claimed = await claim()
                    more = claimed.count >= Self.perClaim
                    for message in claimed {
                        group.addTask {
                            await self.transport.send(message)
                            self.finished(message.owner)
                        }
                    }
                }
            }
        }
    }

    private func claim() async -> [ClaimedMessage] {
        let owned = state.withLock { state in state.ready.filter { state.inFlight[$0, default: 0] <= Self.window - Self.perSender } }
        guard !owned.isEmpty else { return [] }
        let time = now()
        do {
            let claimed = try await gateway.outbox.claim(
                limit: Self.perClaim, perSender: Self.perSender, owned: owned, now: time,
                deadline: time.addingTimeInterval(Double(claimDeadline.components.seconds)))
            started(claimed)
            return claimed
        } catch {
            logger.warning("claim failed", metadata: ["error.code": "\(DeliveryService.code(of: error))"])
            return []
        }
    }

    private func started(_ claimed: [ClaimedMessage]) {
        let counts = Dictionary(claimed.map { ($0.owner, 1) }, uniquingKeysWith: +)
        state.withLock { state in
            for (owner, count) in counts {
                state.inFlight[owner, default: 0] += count
                if count >= Self.perSender { state.hungry.insert(owner) }
            }
        }
    }

    private func finished(_ owner: OwnedSender) {
        let isHungry = state.withLock { state in
            let left = state.inFlight[owner, default: 1] - 1
            state.inFlight[owner] = left > 0 ? left : nil
            guard left <= Self.window - Self.perSender else { return false }
            return state.hungry.remove(owner) != nil
        }
        if isHungry { wake() }
    }
}
