package import Domain
package import Foundation
package import Logging
package import OutboundHTTP
import Postgres
package import ServiceLifecycle

/// Pushes events to the accounts' webhook endpoints, on an engine node. Polling twice a second is the truth.
package struct WebhookService: Service {
    private static let pause: Duration = .milliseconds(500)
    private static let settlePause: Duration = .seconds(5)

    private let gateway: Gateway
    private let dispatcher: WebhookDispatcher
    private let drain: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger

    /// - Parameters:
    ///   - http: sends to customers' URLs and nobody else: its policy is theirs.
    ///   - perEndpoint: requests at the same time to one endpoint, by all nodes together.
    ///   - drain: how long attempts under way may go on after the shutdown has begun.
    package init(
        gateway: Gateway, http: HTTPClient, perEndpoint: Int = 8, drain: Duration = .seconds(3), now: @escaping @Sendable () -> Date = { Date() },
        logger: Logger
    ) {
        self.gateway = gateway
        self.drain = drain
        self.now = now
        self.logger = logger
        dispatcher = WebhookDispatcher(gateway: gateway, http: http, perEndpoint: perEndpoint, now: now, logger: logger)
    }

    /// Runs until shutdown. Then nothing more is claimed, attempts under way get `drain`, and what is left is cut off and due again at once.
    package func run() async throws {
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await dispatcher.run() }
                group.addTask {
                    await cancelWhenGracefulShutdown { await keepTime() }
                    do { try await ContinuousClock().sleep(for: drain) } catch {}
                }
                // Whichever is over first: all attempts, or the patience with them.
                await group.next()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            dispatcher.stop()
        }
    }

    private func keepTime() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    dispatcher.wake()
                    do { try await ContinuousClock().sleep(for: Self.pause) } catch { return }
                }
            }
            group.addTask {
                while !Task.isCancelled {
                    await settle()
                    do { try await ContinuousClock().sleep(for: Self.settlePause) } catch { return }
                }
            }
        }
    }

    private func settle() async {
        do {
            while !Task.isCancelled, try await gateway.webhooks.settle(now: now()) >= 5_000 {}
        } catch {
            logger.warning("webhook deliveries could not be settled", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }
}
