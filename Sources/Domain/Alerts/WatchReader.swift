import Foundation
import Postgres

/// Reads what a step of the watcher goes by: what is wrong over all accounts, in a few statements, then what is remembered of the accounts concerned.
struct WatchReader {
    let transaction: Transaction
    let operatorAccount: Account.ID?
    let includesTest: Bool
    let now: Date

    func look(isPaced: Bool) async throws -> WatchSight {
        let watch = try await startedAndLooked()
        let isSlow = watch.map { !(0..<Alerts.slowInterval).contains(now.timeIntervalSince($0.looked)) } ?? true
        try await note(isSlow: isSlow, isFirst: watch == nil)
        var sight = WatchSight()
        let quick = try await quickRows()
        let queues = isSlow ? try await slowRows() : []
        let quotas = isSlow ? try await quotaRows() : []
        let remembered = try await accounts()
        sight.daily = remembered.filter(\.isDaily).map(\.account)
        let concerned = Set(quick.map(\.account)).union(queues.map(\.account)).union(quotas.map(\.account)).union(remembered.map(\.account))
            .union(operatorAccount.map { [$0] } ?? [])
        try await see(concerned)
        // It may have closed since it was looked up.
        let operatorAccount = try await activeOperator()
        sight.rules = try await rules()
        sight.conditions = try await conditions()
        sight.alerts = try await alerts()
        let involved = Set(sight.alerts.map(\.account)).union(sight.facts.map(\.account)).union(concerned)
        sight.channels = try await channels(involved)
        sight.tellings = try await tellings()

        var facts = AlertFacts(rules: sight.rules, operatorAccount: operatorAccount, isSlow: isSlow, now: now)
        for row in quick { try row.add(to: &facts) }
        for row in queues { row.add(to: &facts) }
        for row in quotas { try row.add(to: &facts, isPaced: isPaced, now: now) }
        if isSlow { facts.addCron(try await cronRows(), started: watch?.started ?? now) }
        sight.facts = facts.complete(for: sight.conditions.keys)
        return sight
    }

    // MARK: The watcher's own row

    private func startedAndLooked() async throws -> (started: Date, looked: Date)? {
        try await transaction.queryOne("alerts.watch", "SELECT started_at, looked_at FROM alert_watch WHERE only_row") {
            (started: try $0.column("started_at", as: Date.self), looked: try $0.column("looked_at", as: Date.self))
        }
    }

    private func note(isSlow: Bool, isFirst: Bool) async throws {
        guard isSlow else { return }
        _ = try await transaction.query("alerts.fold", "SELECT gateway_fold_tallies() AS folded", as: { _ in })
        _ = try await transaction.execute(
            "alerts.looked",
            """
            INSERT INTO alert_watch (started_at, looked_at) VALUES (\(now), \(now))
            ON CONFLICT (only_row) DO UPDATE SET looked_at = excluded.looked_at
            """)
    }

    // MARK: Over all accounts

    private struct QuickRow: Sendable {
        let account: Account.ID
        let source: String
        let subject: UUID
        let state: String
        let code: String?
        let since: Date?
        let until: Date?
        let isHeld: Bool?

        func add(to facts: inout AlertFacts) throws {
            switch source {
            case "sender":
                guard let state = SenderState(rawValue: state) else { return }
                facts.add(
                    AlertFacts.SenderRow(
                        account: account, sender: subject, state: state, code: code, since: since ?? .distantFuture, pausedUntil: until,
                        isHeld: isHeld ?? false))
            case "new_chats": if let until { facts.addLocked(subject, account, until: until, code: code) }
            case "endpoint": facts.addEndpoint(subject, account, state: state, reason: code, failingSince: since)
            case "channel": if let state = AlertChannel.State(rawValue: state) { facts.addChannel(subject, account, state: state, code: code) }
            case "key": if let since { facts.addKey(subject, account, isLive: state == "live", createdAt: since) }
            // A newer node's migration may tell more.
            default: break
            }
        }
    }

    private func quickRows() async throws -> [QuickRow] {
        try await transaction.query(
            "alerts.facts",
            """
            SELECT account_id, source, subject_id, state, code, since, until, held
            FROM gateway_alert_facts(\(now), \(now.addingTimeInterval(-AlertConditionRules.eventWindow)), \(includesTest))
            ORDER BY account_id, source, subject_id
            """
        ) { row in
            QuickRow(
                account: try row["account_id"], source: try row["source"], subject: try row["subject_id"], state: try row["state"],
                code: try row["code"], since: try row["since"], until: try row["until"], isHeld: try row["held"])
        }
    }

    private struct SlowRow: Sendable {
        let account: Account.ID
        let source: String
        let since: Date?
        let part: Int?
        let total: Int?

        func add(to facts: inout AlertFacts) {
            switch source {
            case "queue": if let since { facts.addQueue(account, oldest: since) }
            case "failed": facts.addShare(.failureShare, account, part: part ?? 0, total: total ?? 0)
            case "undelivered": facts.addShare(.undeliveredShare, account, part: part ?? 0, total: total ?? 0)
            default: break
            }
        }
    }

    private func slowRows() async throws -> [SlowRow] {
        try await transaction.query(
            "alerts.slowFacts",
            """
            SELECT account_id, source, since, part, total FROM gateway_alert_slow_facts(\(now), \(includesTest)) ORDER BY account_id, source
            """
        ) { row in
            SlowRow(
                account: try row["account_id"], source: try row["source"], since: try row["since"], part: try row["part"], total: try row["total"])
        }
    }

    private struct QuotaRow: Sendable {
        let account: Account.ID
        let sender: UUID
        let isTest: Bool
        let limits: String
        let pairedAt: Date?
        let used: (day: Int, new: Int)

        func add(to facts: inout AlertFacts, isPaced: Bool, now: Date) throws {
            let subject: SendingLimits.Subject = isTest || !isPaced ? .testSender : .liveSender
            let limits = try SendingLimits(stored: limits, for: subject).effective(for: subject)
            var new = limits.newRecipientsPerDay
            let age = WarmUp.age(pairedAt: pairedAt, at: now)
            if limits.warmUp, age < WarmUp.days { new = WarmUp.allowance(full: new ?? WarmUp.standard, age: age) }
            facts.addQuota(sender, account, used: used, caps: (day: limits.perDay, new: new))
        }
    }

    private func quotaRows() async throws -> [QuotaRow] {
        try await transaction.query(
            "alerts.quotas",
            """
            SELECT account_id, sender_id, test, limits, paired_at, day_used, new_recipients_used
            FROM gateway_alert_quotas(\(now), \(includesTest))
            ORDER BY account_id, sender_id
            """
        ) { row in
            QuotaRow(
                account: try row["account_id"], sender: try row["sender_id"], isTest: try row["test"], limits: try row["limits"],
                pairedAt: try row["paired_at"], used: (day: try row["day_used"], new: try row["new_recipients_used"]))
        }
    }

    private func cronRows() async throws -> [AlertFacts.CronRow] {
        try await transaction.query("alerts.cron", "SELECT job, succeeded_at, tried_at FROM gateway_alert_cron(\(now))") {
            AlertFacts.CronRow(job: try $0["job"], succeededAt: try $0["succeeded_at"], triedAt: try $0["tried_at"])
        }
    }

    private func accounts() async throws -> [(account: Account.ID, isDaily: Bool)] {
        try await transaction.query(
            "alerts.accounts",
            "SELECT account_id, daily FROM gateway_alert_accounts(\(now), \(Int32(Alerts.dailyLimit))) ORDER BY account_id"
        ) { (account: try $0.column("account_id", as: Account.ID.self), isDaily: try $0.column("daily", as: Bool.self)) }
    }

    // MARK: Of the accounts concerned

    /// From here on the transaction sees the rows of these accounts.
    private func see(_ accounts: Set<Account.ID>) async throws {
        guard let setting = Databases.accounts(accounts).first else { return }
        _ = try await transaction.query("alerts.see", "SELECT set_config(\(setting.name), \(setting.value), true) AS seen", as: { _ in })
    }

    private func activeOperator() async throws -> Account.ID? {
        guard let operatorAccount else { return nil }
        return try await transaction.queryOne(
            "alerts.operator", "SELECT account_id FROM accounts WHERE account_id = \(operatorAccount) AND state = 'active'",
            as: { try $0.column("account_id", as: Account.ID.self) })
    }

    private func rules() async throws -> [Account.ID: [AlertKind: AlertRule]] {
        let rows = try await transaction.query("alerts.allRules", "SELECT \(AlertRule.columns) FROM alert_rules r") {
            (account: try $0.column("account_id", as: Account.ID.self), rule: try AlertRule(row: $0))
        }
        var rules: [Account.ID: [AlertKind: AlertRule]] = [:]
        for row in rows {
            if let rule = row.rule { rules[row.account, default: [:]][rule.kind] = rule }
        }
        return rules
    }

    private func conditions() async throws -> [AlertCondition.Key: AlertCondition] {
        let rows = try await transaction.query(
            "alerts.conditions",
            """
            SELECT account_id, kind, subject_id, pending_since, alert_id, open_since, clear_since, occurred_at, ended_at FROM alert_conditions
            """
        ) { row -> AlertCondition? in
            guard let kind = AlertKind(rawValue: try row.column("kind", as: String.self)) else { return nil }
            return AlertCondition(
                key: AlertCondition.Key(account: try row["account_id"], kind: kind, subject: try row["subject_id"]),
                pendingSince: try row["pending_since"], alert: try row["alert_id"], openSince: try row["open_since"],
                clearSince: try row["clear_since"],
                occurredAt: try row["occurred_at"], endedAt: try row["ended_at"])
        }
        return Dictionary(rows.compactMap(\.self).map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func alerts() async throws -> [BookedAlert] {
        try await transaction.query(
            "alerts.undone",
            """
            SELECT account_id, alert_id, kind, severity, subject_ids, subject_count, open_count, figures::text AS figures, opened_at, cleared_at, ending,
                acknowledged_at, silenced_until, escalate_after, escalated_at
            FROM alerts
            WHERE NOT done
            ORDER BY account_id, alert_id
            """
        ) { row -> BookedAlert? in
            guard let kind = AlertKind(rawValue: try row.column("kind", as: String.self)) else { return nil }
            let clearedAt = try row.column("cleared_at", as: Date?.self)
            return BookedAlert(
                id: try row["alert_id"], account: try row["account_id"], kind: kind, severity: try row.state("severity"),
                subjects: try row["subject_ids"], subjectCount: try row["subject_count"], openCount: try row["open_count"],
                figures: try AlertCoding.decode(AlertFigures.self, from: row["figures"]), openedAt: try row["opened_at"], clearedAt: clearedAt,
                ending: clearedAt == nil ? nil : try row.state("ending"), acknowledgedAt: try row["acknowledged_at"],
                silencedUntil: try row["silenced_until"],
                escalateAfter: try row.column("escalate_after", as: Int?.self).map(TimeInterval.init), escalatedAt: try row["escalated_at"])
        }.compactMap(\.self)
    }

    private func channels(_ accounts: Set<Account.ID>) async throws -> [Account.ID: [PlannedChannel]] {
        let rows = try await transaction.query(
            "alerts.allChannels",
            """
            SELECT account_id, channel_id, kind, state, language, minimum_severity, kinds, quiet_from, quiet_to, zone, digest_hour, self_test,
                escalation_only, muted_until, fired_at, fired_kinds, cleared_at, gateway_fired_at, gateway_fired_kinds, gateway_cleared_at
            FROM alert_channels
            WHERE state <> 'unverified'
            """
        ) { row in
            (
                account: try row.column("account_id", as: Account.ID.self),
                channel: PlannedChannel(
                    id: try row["channel_id"], kind: try row.state("kind"), state: try row.state("state"), settings: try ChannelSettings(row: row),
                    mutedUntil: try row["muted_until"], account: try Self.pace(row, ""), gateway: try Self.pace(row, "gateway_"))
            )
        }
        return Dictionary(grouping: rows, by: \.account).mapValues { $0.map(\.channel) }
    }

    private static func pace(_ row: RowReader, _ prefix: String) throws -> PlannedChannel.Pace {
        PlannedChannel.Pace(
            firedAt: try row[prefix + "fired_at"],
            firedKinds: Set(try row.column(prefix + "fired_kinds", as: [String].self).compactMap(AlertKind.init)),
            clearedAt: try row[prefix + "cleared_at"])
    }

    /// Those of alerts that are done are gone.
    private func tellings() async throws -> [Account.ID: [Telling.Key: Telling]] {
        let rows = try await transaction.query(
            "alerts.tellings",
            """
            SELECT account_id, alert_id, channel_id, subjects, cleared FROM alert_tellings
            """
        ) { row in
            (
                account: try row.column("account_id", as: Account.ID.self),
                key: Telling.Key(alert: try row["alert_id"], channel: try row["channel_id"]),
                telling: Telling(subjects: try row["subjects"], isCleared: try row["cleared"])
            )
        }
        return Dictionary(grouping: rows, by: \.account).mapValues { rows in
            Dictionary(rows.map { ($0.key, $0.telling) }, uniquingKeysWith: { first, _ in first })
        }
    }
}
