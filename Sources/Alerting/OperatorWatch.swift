import Domain
import Foundation
import Logging
import OutboundHTTP
import Postgres
import Primitives
import Synchronization

/// Tells the operator that the database does not answer, when everything that could be asked for is in the database: whom to tell is kept in memory,
/// looked up anew each minute while all is well. What was told is written down once the database is back, which then says that it is over.
final class OperatorWatch: Sendable {
    private static let refresh: TimeInterval = 60
    /// The node that asks Telegram for updates tells first. The others do not hear of it without the database: they tell when it may be gone too.
    private static let othersWait: TimeInterval = 240
    private static let probeDeadline: Duration = .seconds(5)

    private struct State {
        var known: Known?
        var knownAt: Date = .distantPast
        var episode: Episode?
        var isFirst = false
    }

    /// Whom to tell, and when.
    private struct Known: Sendable {
        var account: Account.ID
        var accountName: String
        var channels: [AlertChannel]
        var rule: AlertRule
    }

    private struct Episode: Sendable {
        var from: Date
        var code: String
        var told: [AlertChannel.ID] = []
        var isTold = false
        /// Set while it is being told or written down.
        var to: Date?
    }

    private let gateway: Gateway
    private let operatorAccount: Account.ID?
    private let courier: NoticeCourier
    private let writer: NoticeWriter
    private let now: @Sendable () -> Date
    private let probe: @Sendable () async throws -> Void
    private let logger: Logger
    private let state = Mutex(State())

    init(
        gateway: Gateway, operatorAccount: Account.ID?, courier: NoticeCourier, writer: NoticeWriter, now: @escaping @Sendable () -> Date,
        logger: Logger, probe: (@Sendable () async throws -> Void)? = nil
    ) {
        self.gateway = gateway
        self.operatorAccount = operatorAccount
        self.courier = courier
        self.writer = writer
        self.now = now
        self.logger = logger
        self.probe =
            probe ?? { [database = gateway.databases.engine] in
                try await database.execute("alerting.probe", "SELECT 1 AS up", deadline: Self.probeDeadline)
            }
    }

    /// Whether this node is the one to tell first.
    func isFirst(_ isFirst: Bool) { state.withLock { $0.isFirst = isFirst } }

    /// One look. Called every few seconds, never twice at once.
    func turn() async {
        do {
            try await probe()
        } catch {
            guard !Task.isCancelled else { return }
            await failed(AlertingService.shortCode(of: error))
            return
        }
        await finish()
        await refreshIfDue()
    }

    // MARK: While it is away

    private func failed(_ code: String) async {
        let time = now()
        let (known, episode, isFirst) = state.withLock { state in
            // What was told and could not be written down goes on.
            if state.episode?.isTold == true {
                state.episode?.to = nil
            } else if state.episode == nil || state.episode?.to != nil {
                state.episode = Episode(from: time, code: code)
            }
            return (state.known, state.episode, state.isFirst)
        }
        guard let known, let episode, !episode.isTold, known.rule.isEnabled,
            time.timeIntervalSince(episode.from) >= known.rule.thresholds.openAfter + (isFirst ? 0 : Self.othersWait)
        else { return }
        state.withLock { $0.episode?.isTold = true }
        logger.error("operator is told that the database does not answer", metadata: ["channels": "\(known.channels.count)"])
        let wanted = known.channels.filter { $0.settings.wants(.databaseTrouble, known.rule.severity) && !$0.isMuted(at: time) }
        for channel in wanted {
            if await tell(channel, known, episode) { state.withLock { $0.episode?.told.append(channel.id) } }
        }
        // Nobody could be told: the next look tries again.
        if !wanted.isEmpty { state.withLock { if $0.episode?.told.isEmpty == true { $0.episode?.isTold = false } } }
    }

    private func tell(_ channel: AlertChannel, _ known: Known, _ episode: Episode) async -> Bool {
        let item = NoticeContent.Item(
            alert: Alert.ID(UUID(bytes: SystemRandom().bytes(16))), kind: .databaseTrouble, severity: known.rule.severity, openedAt: episode.from,
            clearedAt: nil, ending: nil, subjects: [], subjectCount: 1, figures: AlertFigures())
        let letter = writer.letter(
            .fired, NoticeContent(items: [item], madeAt: episode.from), account: known.accountName, settings: channel.settings, secret: nil)
        // Nobody keeps a queue now: a few tries, then the next channel.
        for _ in 0..<3 {
            switch await send(letter, channel, episode) {
            case .sent: return true
            case .again, .migrated, .released: do { try await courier.wait(2) } catch { return false }
            case .blocked, .dead: return false
            }
        }
        return false
    }

    private func send(_ letter: Letter, _ channel: AlertChannel, _ episode: Episode) async -> NoticeReport.Ending {
        switch channel.address {
        case .telegram(let chat): await courier.send(TelegramMessage(chat: chat.id, html: letter.telegram))
        case .email(let address):
            // Within an hour, several nodes that see the same are one e-mail.
            await courier.send(
                writer.email(letter, to: address), key: "database/\(channel.id)/\(Int(episode.from.timeIntervalSince1970 / 3_600))")
        }
    }

    // MARK: When it is back

    private func finish() async {
        let time = now()
        let (known, episode) = state.withLock { state -> (Known?, Episode?) in
            if state.episode != nil, state.episode?.to == nil { state.episode?.to = time }
            return (state.known, state.episode)
        }
        guard let episode else { return }
        if let known, episode.isTold {
            do {
                _ = try await gateway.alerts.recordDatabaseTrouble(
                    account: known.account, from: episode.from, to: episode.to, code: episode.code, told: episode.told, now: time)
            } catch {
                // The next look tries again.
                logger.warning("database trouble could not be recorded", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
                return
            }
        }
        state.withLock { $0.episode = nil }
    }

    private func refreshIfDue() async {
        let time = now()
        guard state.withLock({ time.timeIntervalSince($0.knownAt) >= Self.refresh }) else { return }
        do {
            var known: Known?
            if let account = try await gateway.alerts.operatorAccount(operatorAccount), let name = try await gateway.accounts.find(account)?.name {
                let channels = try await gateway.alerts.channels(account).filter { $0.state == .active }
                let rule = try await gateway.alerts.rules(account).first { $0.kind == .databaseTrouble } ?? AlertRule(.databaseTrouble)
                known = Known(account: account, accountName: name, channels: channels, rule: rule)
            }
            state.withLock { state in
                state.known = known
                state.knownAt = time
            }
        } catch {
            // What was known stays: this may be the beginning of the trouble.
            logger.debug("operator's channels could not be read", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }
}
