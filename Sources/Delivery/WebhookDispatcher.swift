package import Domain
package import Foundation
package import Logging
package import OutboundHTTP
import Postgres
import Synchronization

/// Claims deliveries that are due, sends each in a task of its own, and writes down what came of it. Whatever this process forgets when it dies is due
/// again when its claim ends, with the same `webhook-id`.
package final class WebhookDispatcher: Sendable {
    /// How long a claim lasts: longer than an attempt and the writing down of it.
    package static let claimLength: TimeInterval = 60

    private struct State {
        var slots: WebhookSlots
        var position: EndpointPlace?
        var isStopping = false
    }

    private let gateway: Gateway
    private let post: WebhookPost
    private let perEndpoint: Int
    private let claimLength: TimeInterval
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state: Mutex<State>
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation

    /// - Parameters:
    ///   - http: sends to customers' URLs and nobody else: its policy is theirs.
    ///   - perEndpoint: requests at the same time to one endpoint, by all nodes together.
    ///   - deadline: of one attempt.
    package init(
        gateway: Gateway, http: HTTPClient, perEndpoint: Int = 8, deadline: Duration? = nil, claimLength: TimeInterval = claimLength,
        now: @escaping @Sendable () -> Date, logger: Logger
    ) {
        self.gateway = gateway
        post = WebhookPost(http: http, deadline: deadline ?? WebhookPost.deadline, now: now)
        self.perEndpoint = perEndpoint
        self.claimLength = claimLength
        self.now = now
        self.logger = logger
        var limits = WebhookSlots.Limits()
        limits.perEndpoint = perEndpoint
        state = Mutex(State(slots: WebhookSlots(limits)))
        (wakeups, wakeup) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Something may be due.
    package func wake() { wakeup.yield() }

    /// Nothing more is claimed; `run()` ends when the running attempts are over.
    package func stop() {
        state.withLock { $0.isStopping = true }
        wakeup.finish()
    }

    /// Sends whatever is due at each `wake()`, until `stop()`; returns when the last attempt is written down. When cancelled, attempts end at once and
    /// are given back.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in wakeups {
                while !Task.isCancelled {
                    let claimed = await claim()
                    for delivery in claimed { group.addTask { await self.deliver(delivery) } }
                    if claimed.isEmpty { break }
                }
            }
        }
    }

    /// Sends what is due at this moment and returns when all of it is written down.
    /// - Returns: how many attempts that were.
    package func runOnce() async -> Int {
        var count = 0
        await withDiscardingTaskGroup { group in
            while true {
                let claimed = await claim()
                for delivery in claimed { group.addTask { await self.deliver(delivery) } }
                count += claimed.count
                if claimed.isEmpty { break }
            }
        }
        return count
    }

    /// One look, one claim. Empty: nothing is due, or who has something due has all that it may have.
    private func claim() async -> [ClaimedDelivery] {
        var wanted: [(place: EndpointPlace, most: Int)] = []
        do {
            var (position, isStopping) = state.withLock { ($0.position, $0.isStopping) }
            guard !isStopping else { return [] }
            let due = try await gateway.webhooks.due(from: &position, now: now())
            wanted = state.withLock { state in
                let taken = state.slots.take(for: due)
                // Who got nothing because this node is full is first the next time.
                state.position = state.slots.isFull ? taken.last?.place ?? state.position : position
                return taken
            }
            let time = now()
            let claimed = try await gateway.webhooks.claim(
                wanted, concurrency: perEndpoint, now: time, deadline: time.addingTimeInterval(claimLength))
            let byPlace = Dictionary(grouping: claimed, by: \.place).mapValues(\.count)
            state.withLock { state in
                for (place, most) in wanted { state.slots.giveBack(place, most - byPlace[place, default: 0]) }
            }
            return claimed
        } catch {
            state.withLock { state in
                for (place, most) in wanted { state.slots.giveBack(place, most) }
            }
            logger.warning("webhook deliveries could not be claimed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
            return []
        }
    }

    private func deliver(_ delivery: ClaimedDelivery) async {
        let report = await post.send(delivery)
        do {
            // In a task of its own, awaited: what was sent is written down even when this node stops meanwhile.
            try await Task { try await gateway.webhooks.record(report) }.value
        } catch {
            logger.warning(
                "webhook attempt could not be recorded",
                metadata: ["webhook.id": "\(delivery.event)", "error.code": "\(DatabaseError.code(of: error))"])
        }
        state.withLock { $0.slots.giveBack(delivery.place) }
        wakeup.yield()
    }
}

extension ClaimedDelivery {
    var place: EndpointPlace { EndpointPlace(account: account, endpoint: endpoint) }
}
