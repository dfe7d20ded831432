package import Domain
package import Foundation
package import Logging

/// Asks Telegram for updates, on one node at a time: two that ask would take each other's answers away (409).
package struct TelegramPoller: Sendable {
    /// How long Telegram may wait with an empty answer.
    private static let wait: Duration = .seconds(25)
    /// Longer than an answer can take, so that the lease lasts until it is renewed.
    private static let leaseLength: TimeInterval = 75
    private static let pauseWithoutLease: Duration = .seconds(5)
    private static let longestPause: Duration = .seconds(60)

    private let gateway: Gateway
    private let desk: TelegramDesk
    private let inbox: TelegramInbox
    private let node: String
    private let logger: Logger

    package init(gateway: Gateway, desk: TelegramDesk, inbox: TelegramInbox, node: String, logger: Logger) {
        self.gateway = gateway
        self.desk = desk
        self.inbox = inbox
        self.node = node
        self.logger = logger
    }

    /// What one turn came to.
    package enum Turn: Sendable, Hashable {
        /// So many updates were dealt with.
        case polled(Int)
        /// Another node asks.
        case notMine
        case failed(TelegramFailure)
        /// The database could not be asked.
        case databaseFailed
    }

    /// Until the task is cancelled. `isPolling` hears whether this node is the one that asks, after every turn.
    package func run(isPolling: @Sendable (Bool) -> Void) async {
        var failures = 0
        while !Task.isCancelled {
            let turn = await turn(wait: Self.wait)
            isPolling(turn != .notMine && turn != .databaseFailed)
            var pause: Duration = .zero
            switch turn {
            case .polled:
                if failures > 0 { logger.info("telegram updates come again") }
                failures = 0
            case .notMine: pause = Self.pauseWithoutLease
            case .databaseFailed: pause = Self.pauseWithoutLease
            case .failed(let failure):
                guard !Task.isCancelled else { break }
                failures += 1
                if failures == 1 { logger.warning("telegram updates do not come", metadata: ["error.code": "\(failure.code)"]) }
                if case .flood(let wait) = failure { pause = wait } else { pause = min(Self.longestPause, .seconds(1 << min(failures, 6))) }
                // An earlier life with a webhook may have left it behind.
                if failure == .conflict, failures == 2 { do { try await desk.bot.deleteWebhook() } catch {} }
            }
            if pause > .zero { do { try await ContinuousClock().sleep(for: pause) } catch { break } }
        }
        // In a task of its own, awaited: the next node need not wait for the lease to end.
        await Task { do { try await gateway.alerts.releasePoller(bot: desk.bot.id, node: node) } catch {} }.value
    }

    /// Asks once and deals with what comes.
    package func turn(wait: Duration) async -> Turn {
        let offset: Int64
        do {
            guard let held = try await gateway.alerts.holdPoller(bot: desk.bot.id, node: node, ttl: Self.leaseLength) else { return .notMine }
            offset = held
        } catch {
            return .databaseFailed
        }
        let updates: [TelegramUpdate]
        do throws(TelegramFailure) { updates = try await desk.bot.updates(offset: offset, wait: wait) } catch { return .failed(error) }
        for update in updates {
            // What is left is asked for again.
            do { try await inbox.receive(update) } catch { return .databaseFailed }
        }
        return .polled(updates.count)
    }
}
