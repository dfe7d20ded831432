import Domain
import Foundation
import Logging
import Postgres
import Synchronization

/// Claims due messages of the senders that can send now, and hands each to the transport in a task of its own. What to claim, for whom and how
/// much is `DispatchPlan`'s.
final class Dispatcher: Sendable {
    private struct State {
        var plan = DispatchPlan()
        /// With the hints, while it runs.
        var listener: Int?
        var isStopping = false
    }

    private let gateway: Gateway
    private let transport: any Transport
    private let claimDeadline: Duration
    private let drain: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state: Mutex<State>
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation
    /// Ends with ``stop()``; carries nothing.
    private let stopped: AsyncStream<Never>
    private let halt: AsyncStream<Never>.Continuation
    /// Told when the plan may have another opening to wait for.
    private let openings: AsyncStream<Void>
    private let opening: AsyncStream<Void>.Continuation

    init(gateway: Gateway, transport: any Transport, claimDeadline: Duration, drain: Duration, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.gateway = gateway
        self.transport = transport
        self.claimDeadline = claimDeadline
        self.drain = drain
        self.now = now
        self.logger = logger
        state = Mutex(State())
        (wakeups, wakeup) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        (stopped, halt) = AsyncStream<Never>.makeStream()
        (openings, opening) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    private func plan<Result>(_ body: (inout DispatchPlan) -> Result) -> Result { state.withLock { body(&$0.plan) } }

    // MARK: What others tell

    /// These senders may have something due; nil: any.
    func hint(_ senders: Set<DueSender>?) {
        plan { $0.hint(senders) }
        wakeup.yield()
    }

    /// The senders that can send now on this node.
    func ready(_ senders: [OwnedSender]) {
        let listener = state.withLock { state in
            state.plan.setReady(senders)
            return state.listener
        }
        if let listener { gateway.outbox.hints.serve(Set(senders.map(\.place)), as: listener) }
        wakeup.yield()
    }

    /// Looks for what nobody hinted at: messages whose time has come, resends, lost hints. Once a second is enough.
    func probe() async {
        let unsure = plan(\.all)
        guard !unsure.isEmpty, !isStopping else { return }
        do {
            let found = try await gateway.outbox.probe(unsure, now: now())
            guard !found.isEmpty else { return }
            plan { $0.found(found) }
            wakeup.yield()
        } catch {
            logger.warning("probe failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    /// Nothing more is claimed; `run()` ends when the running sends are over, `drain` later at most.
    func stop() {
        state.withLock { $0.isStopping = true }
        wakeup.finish()
        opening.finish()
        halt.finish()
    }

    // MARK: Life

    /// Claims and sends until ``stop()`` or cancellation; returns when the last send is over. A cancelled send ends at once.
    func run() async {
        let listener = gateway.outbox.hints.listen { [weak self] in self?.hint($0) }
        let ready = state.withLock { state in
            state.listener = listener
            return state.plan.ready
        }
        gateway.outbox.hints.serve(ready, as: listener)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.dispatch() }
            group.addTask { await self.awaitOpenings() }
            for await _ in stopped {}
            group.addTask { [drain] in
                // Cancelled: the sends were over first.
                do { try await ContinuousClock().sleep(for: drain) } catch {}
            }
            // One of them is the wait for openings, which is over by now or ends at once.
            await group.next()
            await group.next()
            group.cancelAll()
        }
        gateway.outbox.hints.endListening(listener)
    }

    private func dispatch() async {
        await withDiscardingTaskGroup { group in
            for await _ in wakeups {
                while !Task.isCancelled, !isStopping {
                    guard let flights = await claim() else { break }
                    for flight in flights { group.addTask { await self.send(flight) } }
                }
                opening.yield()
            }
        }
    }

    private func send(_ flight: DispatchPlan.Flight) async {
        await transport.send(flight.message) { [self] in
            if plan({ $0.left(flight.ticket, at: now()) }) { wakeup.yield() }
        }
        if plan({ $0.finished(flight.ticket, at: now()) }) { wakeup.yield() }
    }

    /// Wakes the dispatcher when a sender's limits open or an account has rested; looks at the clock a few times a second at most while there is one to
    /// wait for.
    private func awaitOpenings() async {
        for await _ in openings {
            while let wait = plan({ nextOpening($0) }), !Task.isCancelled, !isStopping {
                if wait <= .zero {
                    wakeup.yield()
                    break
                }
                do { try await ContinuousClock().sleep(for: min(wait, .milliseconds(100))) } catch { return }
            }
        }
    }

    /// nil: there is nothing to wait for.
    private func nextOpening(_ plan: DispatchPlan) -> Duration? {
        let limits = plan.nextOpening.map { Duration.seconds($0.timeIntervalSince(now())) }
        let rest = plan.restEnd.map { ContinuousClock.now.duration(to: $0) }
        return [limits, rest].compactMap { $0 }.min()
    }

    // MARK: Claiming

    /// One claim; nil: there is nothing to claim, or it failed and the next occasion tries again.
    private func claim() async -> [DispatchPlan.Flight]? {
        let time = now()
        let deadline = time.addingTimeInterval(Double(claimDeadline.components.seconds))
        let again = plan { $0.takeAgain() }
        do {
            if !again.isEmpty {
                let messages = try await gateway.outbox.claimAgain(limit: DispatchPlan.perClaim, owned: again, now: time, deadline: deadline)
                let isMore = messages.count >= DispatchPlan.perClaim
                if !messages.isEmpty { return plan { $0.claimedAgain(messages, of: again, isMore: isMore) } }
            }
        } catch {
            logger.warning("claim failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
        let suspect = await claimSuspect(at: time, deadline: deadline)
        guard suspect.isEmpty else { return suspect }
        let demands = plan { $0.nextClaim(at: time) }
        guard !demands.isEmpty else { return nil }
        do {
            let claim = try await gateway.outbox.claim(demands, limit: DispatchPlan.perClaim, now: time, deadline: deadline)
            let (flights, postponed) = plan { $0.claimed(demands, claim, at: time) }
            await postpone(postponed)
            return flights
        } catch {
            plan { $0.failed(demands) }
            logger.warning("claim failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
            return nil
        }
    }

    /// One message at most that may have killed the process which had claimed it.
    private func claimSuspect(at time: Date, deadline: Date) async -> [DispatchPlan.Flight] {
        let demands = plan { $0.nextSuspect(at: time) }
        guard !demands.isEmpty else { return [] }
        do {
            let claim = try await gateway.outbox.claim(demands, of: .suspect, limit: 1, now: time, deadline: deadline)
            let (flights, postponed) = plan { $0.claimedSuspect(demands, claim, at: time) }
            await postpone(postponed)
            return flights
        } catch {
            plan { $0.failedSuspect(demands) }
            logger.warning("claim failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
            return []
        }
    }

    private func postpone(_ postponed: [Postponed]) async {
        guard !postponed.isEmpty else { return }
        do {
            try await gateway.outbox.postpone(postponed)
        } catch {
            // The claims end by themselves.
            logger.warning("messages were not given back", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }
}
