package import Foundation
import Postgres
import Primitives

/// What one step of the watcher did.
package struct Watched: Sendable, Equatable {
    /// This node did it; else another one is at it.
    package var isMine = true
    package var opened = 0
    package var cleared = 0
    package var notices = 0
}

extension Alerts {
    /// Between two looks at what changes slowly, in seconds.
    static let slowInterval: TimeInterval = 60
    /// Digests and self-tests that one step makes at most.
    static let dailyLimit = 200
    /// When nobody has said that the database's trouble is over, the watcher, which needs the database, says so.
    static let troubleLimit: TimeInterval = 600

    /// One step, in one transaction: facts → conditions → alerts → notices. On every node, every ten seconds; one at a time does it.
    /// All that it remembers stands in rows, so a restart neither repeats nor forgets.
    /// - Parameters:
    ///   - operator: whom gateway-wide alerts are told; nil: nobody.
    ///   - includesTest: test senders, test endpoints and test messages count too, as a sandbox wants it.
    package func watch(operator operatorAccount: Account.ID?, includesTest: Bool = false, now: Date) async throws -> Watched {
        try await databases.engine.transaction(deadline: .seconds(60)) { transaction in
            let lock = try await transaction.queryOne(
                "alerts.lock", "SELECT pg_try_advisory_xact_lock(hashtext('gateway.alerts')) AS locked",
                as: { try $0.column("locked", as: Bool.self) })
            guard lock == true else { return Watched(isMine: false) }
            let reader = WatchReader(transaction: transaction, operatorAccount: operatorAccount, includesTest: includesTest, now: now)
            let seen = try await reader.look(isPaced: isPaced)
            var step = WatchStep(seen, now: now, random: random)
            step.judge()
            step.plan()
            let writer = WatchWriter(transaction: transaction, random: random, includesTest: includesTest, now: now)
            return try await writer.write(step, seen)
        }
    }
}

/// What a step has read.
struct WatchSight: Sendable {
    /// One for each thing that is wrong, and for each that is remembered.
    var facts: [AlertFact] = []
    var rules: [Account.ID: [AlertKind: AlertRule]] = [:]
    var conditions: [AlertCondition.Key: AlertCondition] = [:]
    var alerts: [BookedAlert] = []
    var channels: [Account.ID: [PlannedChannel]] = [:]
    var tellings: [Account.ID: [Telling.Key: Telling]] = [:]
    /// Accounts whose digest or self-test is due.
    var daily: [Account.ID] = []
}

/// Judges what was read, and plans what is said: pure.
struct WatchStep {
    private let seen: WatchSight
    private let now: Date
    private(set) var book: AlertBook
    private(set) var changed: [AlertCondition] = []
    private(set) var forgotten: [AlertCondition.Key] = []
    private(set) var plans: [Account.ID: NoticePlan] = [:]

    init(_ seen: WatchSight, now: Date, random: any RandomSource) {
        self.seen = seen
        self.now = now
        book = AlertBook(seen.alerts, random: random)
    }

    mutating func judge() {
        // Endings first: what opens in the same step begins a new alert where the old one is over.
        let facts = seen.facts.sorted { $0.isPresent != $1.isPresent ? !$0.isPresent : false }
        for fact in facts {
            let key = AlertCondition.Key(account: fact.account, kind: fact.kind, subject: fact.subject)
            let before = seen.conditions[key]
            let rule = seen.rules[fact.account]?[fact.kind] ?? AlertRule(fact.kind)
            let isAcknowledged = before?.alert.flatMap { book.alerts[$0]?.acknowledgedAt } != nil
            var (after, change) = AlertConditionRules.step(before, fact, rule: rule, isAcknowledged: isAcknowledged, now: now)
            switch change {
            case .opened: after?.alert = book.open(fact, rule: rule, now: now)
            case .ended(let ending): if let alert = before?.alert { book.end(alert, ending, now: now) }
            case nil: break
            }
            if let after {
                if after != before { changed.append(after) }
            } else if before != nil {
                forgotten.append(key)
            }
        }
        for alert in book.alerts.values
        where alert.kind == .databaseTrouble && alert.clearedAt == nil && now.timeIntervalSince(alert.openedAt) >= Alerts.troubleLimit {
            book.end(alert.id, .recovered, now: now)
        }
    }

    mutating func plan() {
        for (account, alerts) in Dictionary(grouping: book.alerts.values, by: \.account) {
            let plan = NoticePlan(alerts: alerts, channels: seen.channels[account] ?? [], tellings: seen.tellings[account] ?? [:], now: now)
            for alert in plan.alerts { book.update(alert) }
            plans[account] = plan
        }
    }
}

extension AlertFact {
    fileprivate var isPresent: Bool { if case .present = standing { true } else { false } }
}
