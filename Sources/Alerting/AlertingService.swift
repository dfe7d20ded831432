package import Domain
package import Foundation
package import Logging
package import OutboundHTTP
import Postgres
package import Primitives
package import ServiceLifecycle

/// Alerts, from what is wrong to whoever should know: watches, tells by Telegram and e-mail, and listens to what people answer.
///
///     let alerting = AlertingService(gateway: gateway, configuration, now: now, logger: logger)
///     …ServiceGroup(services: [telegramHTTP, resendHTTP, alerting])
///
/// Any number of nodes may run it. What is to be told stands in the database: a notice is claimed, sent and reported by one of them, and one at a time
/// asks Telegram for updates. Only that the database itself is away is told from memory.
package struct AlertingService: Service {
    package struct Configuration: Sendable {
        /// nil: no bot. Channels that are chats wait.
        package var telegram: Telegram?
        /// nil: no e-mail.
        package var resend: Resend?
        /// How people reach the gateway; for links in what they read.
        package var publicURL: String
        /// Whose channels hear of what concerns the whole gateway; nil: the only account, if there is one.
        package var operatorAccount: Account.ID?
        /// Whether test senders and their messages count. For a sandbox.
        package var includesTest: Bool
        /// Names this process among the nodes.
        package var node: String

        package init(
            telegram: Telegram? = nil, resend: Resend? = nil, publicURL: String, operatorAccount: Account.ID? = nil, includesTest: Bool = false,
            node: String
        ) {
            self.telegram = telegram
            self.resend = resend
            self.publicURL = publicURL
            self.operatorAccount = operatorAccount
            self.includesTest = includesTest
            self.node = node
        }
    }

    package struct Telegram: Sendable {
        package var desk: TelegramDesk
        /// nil: updates are asked for.
        package var webhook: TelegramWebhook?

        package init(desk: TelegramDesk, webhook: TelegramWebhook? = nil) {
            self.desk = desk
            self.webhook = webhook
        }
    }

    package struct Resend: Sendable {
        package var client: ResendClient
        package var pace: ResendPace
        /// `Name <address>`
        package var from: String

        package init(client: ResendClient, pace: ResendPace, from: String) {
            self.client = client
            self.pace = pace
            self.from = from
        }
    }

    private static let watchPause: Duration = .seconds(10)
    private static let noticePause: Duration = .seconds(1)
    private static let receiptPause: Duration = .seconds(5)
    private static let webhookPause: Duration = .seconds(60)

    private let gateway: Gateway
    private let configuration: Configuration
    private let post: NoticePost
    private let receipts: ReceiptPost
    private let operatorWatch: OperatorWatch
    private let poller: TelegramPoller?
    private let now: @Sendable () -> Date
    private let logger: Logger

    /// - Parameters:
    ///   - tried: hears of every try of a notice, by transport (`telegram`, `email`) and outcome; for metrics.
    ///   - wait: waits for so many seconds; for the pace.
    ///   - probe: throws when the database is away; nil: asks it.
    package init(
        gateway: Gateway, _ configuration: Configuration, random: any RandomSource = SystemRandom(), now: @escaping @Sendable () -> Date = { Date() },
        tried: @escaping @Sendable (_ transport: String, _ outcome: String) -> Void = { _, _ in },
        wait: @escaping @Sendable (TimeInterval) async throws -> Void = { try await ContinuousClock().sleep(for: .seconds($0)) },
        probe: (@Sendable () async throws -> Void)? = nil, logger: Logger
    ) {
        self.gateway = gateway
        self.configuration = configuration
        self.now = now
        self.logger = logger
        let writer = NoticeWriter(publicURL: configuration.publicURL, from: configuration.resend?.from ?? "")
        let courier = NoticeCourier(
            telegram: configuration.telegram?.desk, resend: configuration.resend.map { ($0.client, $0.pace) }, writer: writer, now: now, wait: wait)
        post = NoticePost(gateway: gateway, courier: courier, writer: writer, random: random, now: now, tried: tried, logger: logger)
        receipts = ReceiptPost(gateway: gateway, courier: courier, writer: writer, now: now, logger: logger)
        operatorWatch = OperatorWatch(
            gateway: gateway, operatorAccount: configuration.operatorAccount, courier: courier, writer: writer, now: now, logger: logger, probe: probe
        )
        poller = configuration.telegram.flatMap { telegram in
            guard telegram.webhook == nil else { return nil }
            let inbox = TelegramInbox(gateway: gateway, desk: telegram.desk, now: now, logger: logger)
            return TelegramPoller(gateway: gateway, desk: telegram.desk, inbox: inbox, node: configuration.node, logger: logger)
        }
    }

    /// Runs until shutdown. A notice that is being sent then is cut off and due again at once, under the same key.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await every(Self.watchPause, "alerts could not be watched") { _ = try await watch() } }
                group.addTask { await every(Self.noticePause, "alert notices could not be claimed") { while try await deliver() > 0 {} } }
                group.addTask { await every(Self.watchPause, "operator could not be watched over") { await watchDatabase() } }
                if configuration.resend != nil {
                    group.addTask { await every(Self.receiptPause, "receipts could not be claimed") { _ = try await deliverReceipts() } }
                }
                if let poller {
                    group.addTask { await poller.run { operatorWatch.isFirst($0) } }
                } else if let telegram = configuration.telegram, let webhook = telegram.webhook {
                    group.addTask { await register(webhook, telegram.desk) }
                }
            }
        }
    }

    // MARK: Single turns

    /// One look at what is wrong. Another node's look at the same time makes this one nothing.
    @discardableResult
    package func watch() async throws -> Watched {
        let watched = try await gateway.alerts.watch(
            operator: configuration.operatorAccount, includesTest: configuration.includesTest, now: now())
        if watched.opened + watched.cleared > 0 {
            logger.info(
                "alerts changed",
                metadata: ["opened": "\(watched.opened)", "cleared": "\(watched.cleared)", "notices": "\(watched.notices)"])
        }
        return watched
    }

    /// Sends what is due now.
    /// - Returns: how many notices were tried; 0: nothing is due.
    @discardableResult
    package func deliver() async throws -> Int { try await post.turn() }

    /// Sends the receipts of closed accounts.
    @discardableResult
    package func deliverReceipts() async throws -> Int { try await receipts.turn() }

    /// Looks whether the database answers, and tells the operator when it has not for a while.
    package func watchDatabase() async { await operatorWatch.turn() }

    /// Asks Telegram once, if it is this node's turn.
    package func poll(wait: Duration = .zero) async -> TelegramPoller.Turn? {
        let turn = await poller?.turn(wait: wait)
        if let turn { operatorWatch.isFirst(turn != .notMine && turn != .databaseFailed) }
        return turn
    }

    // MARK: Loops

    /// Telegram remembers it; said again each minute until it was heard once.
    private func register(_ webhook: TelegramWebhook, _ desk: TelegramDesk) async {
        operatorWatch.isFirst(true)
        while !Task.isCancelled {
            do {
                try await desk.bot.setWebhook(url: webhook.url, secret: webhook.secret)
                logger.info("telegram posts updates")
                return
            } catch {
                logger.warning("telegram does not take the webhook", metadata: ["error.code": "\(error.code)"])
            }
            do { try await ContinuousClock().sleep(for: Self.webhookPause) } catch { return }
        }
    }

    /// Runs `body` again and again with a pause, until the task is cancelled. A trouble that lasts is logged once.
    private func every(_ pause: Duration, _ trouble: String, _ body: () async throws -> Void) async {
        var last: String?
        while !Task.isCancelled {
            do {
                try await body()
                last = nil
            } catch {
                let code = DatabaseError.code(of: error)
                if code != last, !Task.isCancelled { logger.warning("\(trouble)", metadata: ["error.code": "\(code)"]) }
                last = code
            }
            do { try await ContinuousClock().sleep(for: pause) } catch { return }
        }
    }

    /// Lower-case letters, digits and underscores: what a row may hold.
    static func shortCode(of error: any Error) -> String {
        (error as? DatabaseError).map(\.code.label) ?? "unavailable"
    }
}
