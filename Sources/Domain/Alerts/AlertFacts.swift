import Foundation

/// From what rows say to what kinds of alerts ask: pure.
struct AlertFacts {
    /// The rules that differ from the defaults.
    let rules: [Account.ID: [AlertKind: AlertRule]]
    /// Whom gateway-wide alerts are told; nil: nobody.
    let operatorAccount: Account.ID?
    let now: Date
    private(set) var all: [AlertFact] = []
    /// Kinds that this step has facts of: what is remembered of the others is left alone.
    private(set) var looked: Set<AlertKind>
    private var outdated = 0

    init(rules: [Account.ID: [AlertKind: AlertRule]], operatorAccount: Account.ID?, isSlow: Bool, now: Date) {
        self.rules = rules
        self.operatorAccount = operatorAccount
        self.now = now
        looked = Set(AlertKind.allCases).subtracting([.databaseTrouble])
        if !isSlow { looked.subtract([.queueOld, .failureShare, .undeliveredShare, .senderQuota, .cronLate]) }
    }

    func rule(_ kind: AlertKind, _ account: Account.ID) -> AlertRule { rules[account]?[kind] ?? AlertRule(kind) }

    // MARK: Rows

    struct SenderRow: Sendable {
        let account: Account.ID
        let sender: UUID
        let state: SenderState
        let code: String?
        let since: Date
        let pausedUntil: Date?
        /// A node holds its lease.
        let isHeld: Bool
    }

    mutating func add(_ row: SenderRow) {
        let isAble = row.state == .ready && row.isHeld
        let isRemoved = row.state == .removing || row.state == .removed
        func fact(_ kind: AlertKind, _ standing: AlertFact.Standing, occurredAt: Date? = nil, _ figures: AlertFigures = AlertFigures()) {
            all.append(
                AlertFact(
                    kind: kind, account: row.account, subject: row.sender, standing: isRemoved ? .gone : standing, occurredAt: occurredAt,
                    figures: figures))
        }
        let here = AlertFact.Standing.present(since: row.since)
        let code = AlertFigures(code: row.code)
        switch row.state {
        case .ready where !row.isHeld: fact(.senderDown, .present(since: nil), AlertFigures(code: "no_node"))
        case .ready: fact(.senderDown, .absent)
        // Parked by a person, it is where it should be.
        case .parked where row.code == Self.parkedOnPurpose: fact(.senderDown, .gone)
        case .connecting, .disconnected, .parked: fact(.senderDown, here, code)
        default: fact(.senderDown, .gone)
        }
        fact(.senderLoggedOut, row.state == .loggedOut ? here : isAble ? .absent : .held, code)
        fact(.senderReplaced, row.state == .replaced ? here : isAble ? .absent : .held, occurredAt: row.since, code)
        let ban = AlertFigures(until: row.pausedUntil.flatMap { $0 > now ? $0 : nil }, code: row.code)
        let isBetween = row.state == .connecting || row.state == .disconnected || row.state == .parked
        fact(.senderBanned, row.state == .temporarilyBanned ? here : isAble ? .absent : isBetween ? .held : .gone, ban)
        if row.state == .clientOutdated { outdated += 1 }
    }

    static let parkedOnPurpose = "requested"

    /// Of senders that may start no new chats now.
    mutating func addLocked(_ sender: UUID, _ account: Account.ID, until: Date, code: String?) {
        all.append(
            AlertFact(
                kind: .senderTimeLocked, account: account, subject: sender, standing: .present(since: nil),
                figures: AlertFigures(until: until, code: code)))
    }

    mutating func addEndpoint(_ endpoint: UUID, _ account: Account.ID, state: String, reason: String?, failingSince: Date?) {
        let isGivenUp = state == "disabled" && reason != WebhookEndpoint.DisabledReason.requested.rawValue
        let age = rule(.webhookFailing, account).thresholds.age ?? 0
        let standing: AlertFact.Standing =
            if isGivenUp {
                .present(since: nil)
            } else if state == "disabled" {
                .gone
            } else if let failingSince {
                now.timeIntervalSince(failingSince) >= age ? .present(since: nil) : .held
            } else {
                // Asked once more whether it wants this: that is not yet an answer.
                state == "verifying" ? .held : .absent
            }
        all.append(
            AlertFact(
                kind: .webhookFailing, account: account, subject: endpoint, standing: standing,
                figures: AlertFigures(age: failingSince.map { Int(now.timeIntervalSince($0)) }, code: reason)))
    }

    mutating func addChannel(_ channel: UUID, _ account: Account.ID, state: AlertChannel.State, code: String?) {
        let standing: AlertFact.Standing =
            switch state {
            case .blocked: .present(since: nil)
            case .active: .absent
            // Linked anew, and not confirmed yet.
            case .unverified: .held
            }
        all.append(
            AlertFact(kind: .channelDead, account: account, subject: channel, standing: standing, figures: AlertFigures(code: code)))
    }

    mutating func addKey(_ key: UUID, _ account: Account.ID, isLive: Bool, createdAt: Date) {
        all.append(
            AlertFact(
                kind: .keyCreated, account: account, subject: key, standing: isLive ? .present(since: createdAt) : .gone, occurredAt: createdAt))
    }

    mutating func addQueue(_ account: Account.ID, oldest: Date) {
        let age = now.timeIntervalSince(oldest)
        let isOld = age >= rule(.queueOld, account).thresholds.age ?? .infinity
        all.append(
            AlertFact(
                kind: .queueOld, account: account, subject: account.uuid, standing: isOld ? .present(since: nil) : .absent,
                figures: AlertFigures(age: Int(age))))
    }

    mutating func addShare(_ kind: AlertKind, _ account: Account.ID, part: Int, total: Int) {
        let thresholds = rule(kind, account).thresholds
        let share = total > 0 ? Double(part) / Double(total) : 0
        let isThere = total >= thresholds.minimum ?? 1 && share >= thresholds.share ?? 1
        all.append(
            AlertFact(
                kind: kind, account: account, subject: account.uuid, standing: isThere ? .present(since: nil) : .absent,
                figures: AlertFigures(share: share, count: part, total: total)))
    }

    /// - Parameter caps: of messages and of first contacts a day; nil: none.
    mutating func addQuota(_ sender: UUID, _ account: Account.ID, used: (day: Int, new: Int), caps: (day: Int?, new: Int?)) {
        let share = rule(.senderQuota, account).thresholds.share ?? 1
        let uses = [(used.day, caps.day, "per_day"), (used.new, caps.new, "new_recipients_per_day")].compactMap { used, cap, code in
            cap.flatMap { $0 > 0 ? (used: used, cap: $0, share: Double(used) / Double($0), code: code) : nil }
        }
        guard let most = uses.max(by: { $0.share < $1.share }), most.share >= share else { return }
        all.append(
            AlertFact(
                kind: .senderQuota, account: account, subject: sender, standing: .present(since: nil),
                figures: AlertFigures(share: min(most.share, 1), count: most.used, total: most.cap, code: most.code)))
    }

    struct CronRow: Sendable {
        let job: String
        let succeededAt: Date?
        let triedAt: Date?
    }

    /// - Parameter started: when the first watcher of this database stepped: nothing can be late before.
    mutating func addCron(_ rows: [CronRow], started: Date) {
        guard let operatorAccount else { return }
        let age = rule(.cronLate, operatorAccount).thresholds.age ?? 7_200
        let oldest = now.addingTimeInterval(-age)
        let last = rows.compactMap(\.succeededAt).max()
        // Nothing at all ran; or one job is tried and fails. A job that a new version brings is late only when it has been tried.
        let failing = rows.first { ($0.succeededAt ?? started) < oldest && ($0.triedAt ?? .distantPast) >= oldest }
        let isLate = (last ?? started) < oldest || failing != nil
        add(
            .cronLate, isLate,
            AlertFigures(age: Int(now.timeIntervalSince((failing.map { $0.succeededAt ?? started } ?? last) ?? started)), code: failing?.job))
    }

    private mutating func add(_ kind: AlertKind, _ isThere: Bool, _ figures: AlertFigures) {
        guard let operatorAccount else { return }
        all.append(
            AlertFact(
                kind: kind, account: operatorAccount, subject: operatorAccount.uuid, standing: isThere ? .present(since: nil) : .absent,
                figures: figures))
    }

    // MARK: All together

    /// The facts of this step: for every condition there is one. What has a condition and no row is well again, or gone where the kind's rows
    /// would be there for as long as the thing is.
    func complete(for conditions: some Sequence<AlertCondition.Key>) -> [AlertFact] {
        var facts = self
        facts.add(.clientOutdated, outdated > 0, AlertFigures(count: outdated))
        var seen = Set(facts.all.map { AlertCondition.Key(account: $0.account, kind: $0.kind, subject: $0.subject) })
        for key in conditions where looked.contains(key.kind) && seen.insert(key).inserted {
            let standing: AlertFact.Standing =
                if key.kind.isGatewayWide {
                    // It is told another account now.
                    .gone
                } else {
                    switch key.kind {
                    case .senderTimeLocked, .senderQuota, .queueOld, .failureShare, .undeliveredShare: .absent
                    default: .gone
                    }
                }
            facts.all.append(AlertFact(kind: key.kind, account: key.account, subject: key.subject, standing: standing))
        }
        return facts.all
    }
}
