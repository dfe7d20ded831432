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
    }

    private let gateway: Gateway
    private let transport: any Transport
    private let claimDeadline: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state = Mutex(State())
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation

    init(gateway: Gateway, transport: any Transport, claimDeadline: Duration, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.gateway = gateway
        self.transport = transport
        self.claimDeadline = claimDeadline
        self.now = now
        self.logger = logger
        (wakeups, wakeup) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Something may be due.
    func wake() { wakeup.yield() }

    /// The senders that can send now on this node.
    func ready(_ senders: [OwnedSender]) {
        state.withLock { $0.ready = senders }
        wake()
    }

    /// Claims and sends until the task is cancelled; returns when the last send is over.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in wakeups {
                if Task.isCancelled { break }
                var more = true
                while more, !Task.isCancelled {
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
