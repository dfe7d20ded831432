package import Domain
package import Foundation
package import Logging
package import Postgres
package import ServiceLifecycle

/// What runs by itself on an engine node: takes due messages and hands them to their transport, gives back what was claimed and not sent,
/// settles what ran out of time, and goes on with closings.
///
/// Polling once a second is the truth; notifications and finished sends only shorten the wait.
package struct DeliveryService: Service {
    private let gateway: Gateway
    private let transport: any Transport
    private let notifications: Notifications?
    private let claimDeadline: Duration
    private let drain: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger

    /// - Parameters:
    ///   - claimDeadline: how long a claimed message stays this node's before a sweep gives it back.
    ///   - drain: how long sends under way may go on after the shutdown has begun.
    package init(
        gateway: Gateway, transport: any Transport, notifications: Notifications?, claimDeadline: Duration = .seconds(20),
        drain: Duration = .seconds(3), now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) {
        self.gateway = gateway
        self.transport = transport
        self.notifications = notifications
        self.claimDeadline = claimDeadline
        self.drain = drain
        self.now = now
        self.logger = logger
    }

    /// Runs until shutdown. Then nothing more is claimed at once, sends under way get `drain` to end by themselves, and what is left is cut off:
    /// its outcome is settled by whoever owns the sender next.
    package func run() async throws {
        let dispatcher = Dispatcher(gateway: gateway, transport: transport, claimDeadline: claimDeadline, drain: drain, now: now, logger: logger)
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await cancelWhenGracefulShutdown { await keepTime(for: dispatcher) } }
                await dispatcher.run()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            dispatcher.stop()
        }
    }

    /// What wakes the dispatcher, and the work that needs no transport.
    private func keepTime(for dispatcher: Dispatcher) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [transport] in
                for await senders in transport.readySenders() { dispatcher.ready(senders) }
            }
            group.addTask { await every(.seconds(1)) { await dispatcher.probe() } }
            group.addTask { await every(.seconds(1)) { await sweep() } }
            group.addTask { await every(.seconds(1)) { await promote() } }
            group.addTask { await every(.seconds(2)) { await learnSizes() } }
            group.addTask {
                var position = MovePosition()
                await every(.seconds(1)) { await move(&position) }
            }
            group.addTask { await every(.seconds(3)) { await continueClosings() } }
            if let notifications {
                group.addTask {
                    for await hint in notifications.channel(Hint.outbox, buffer: 1_024) { dispatcher.hint(OutboxHints.senders(in: hint.payload)) }
                }
            }
            await group.waitForAll()
        }
    }

    private func sweep() async {
        do {
            while !Task.isCancelled {
                let swept = try await gateway.outbox.sweep(now: now())
                guard swept.total > 0 else { return }
                logger.info(
                    "messages swept",
                    metadata: [
                        "expired": "\(swept.expired)", "returned": "\(swept.returned)", "poisoned": "\(swept.poisoned)",
                        "unconfirmed": "\(swept.unconfirmed)",
                    ])
            }
        } catch {
            logger.warning("sweep failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    private func learnSizes() async {
        do {
            try await gateway.outbox.learnSizes()
        } catch {
            logger.warning("table sizes could not be read", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    private func promote() async {
        do {
            while !Task.isCancelled, try await gateway.outbox.promote(now: now()).changed > 0 {}
        } catch {
            logger.warning("scheduled messages were not looked at", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    /// One turn a second: what is left over comes next time.
    private func move(_ position: inout MovePosition) async {
        do {
            let moved = try await gateway.outbox.move(from: &position, now: now())
            if moved.moved + moved.failed > 0 {
                logger.info("messages rerouted", metadata: ["moved": "\(moved.moved)", "failed": "\(moved.failed)"])
            }
        } catch {
            logger.warning("messages could not be rerouted", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    private func continueClosings() async {
        do {
            for account in try await gateway.closing.open() { await advance(account) }
        } catch {
            logger.warning("closings could not be read", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    /// As far as it goes without waiting for anybody. One account's trouble stops no other.
    private func advance(_ account: Account.ID) async {
        do {
            while !Task.isCancelled, case .erasing = try await gateway.closing.advance(account, now: now()) {}
        } catch {
            logger.warning("closing could not go on", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }

    /// Runs `body` again and again with a pause, until the task is cancelled.
    private func every(_ pause: Duration, _ body: () async -> Void) async {
        while !Task.isCancelled {
            await body()
            do { try await ContinuousClock().sleep(for: pause) } catch { return }
        }
    }
}
