import Foundation
import Postgres
import Primitives

/// Writes what a step of the watcher has decided, each kind of row in one statement.
struct WatchWriter {
    let transaction: Transaction
    let random: any RandomSource
    let includesTest: Bool
    let now: Date

    func write(_ step: WatchStep, _ seen: WatchSight) async throws -> Watched {
        try await writeAlerts(step.book.touched.sorted().compactMap { step.book.alerts[$0] })
        try await writeConditions(step.changed, forgotten: step.forgotten)
        // Channels before tellings, as whoever records a try has it: two that want both never wait for each other.
        try await writePaces(step.plans)
        var notices = step.plans.sorted { $0.key < $1.key }.flatMap { account, plan in plan.notices.map { (account: account, notice: $0) } }
        notices += try await dailies(seen)
        try await writeTellings(step.plans)
        try await forgetTellings(of: step.book.alerts.values.filter { $0.isDone && step.book.touched.contains($0.id) })
        try await writeNotices(notices)
        return Watched(opened: step.book.opened.count, cleared: step.book.cleared.count, notices: notices.count)
    }

    // MARK: Alerts and conditions

    private func writeAlerts(_ alerts: [BookedAlert]) async throws {
        guard !alerts.isEmpty else { return }
        _ = try await transaction.execute(
            "alerts.write",
            """
            INSERT INTO alerts (account_id, alert_id, kind, severity, subject_ids, subject_count, open_count, figures, opened_at, cleared_at, ending,
                escalate_after, escalated_at, done)
            SELECT r.account_id, r.alert_id, r.kind, r.severity, r.subjects::uuid[], r.subject_count, r.open_count, r.figures::jsonb, r.opened_at,
                r.cleared_at, r.ending, r.escalate_after, r.escalated_at, r.done
            FROM unnest(\(alerts.map(\.account)), \(alerts.map(\.id)), \(alerts.map(\.kind.rawValue)), \(alerts.map(\.severity.rawValue)),
                \(alerts.map { Self.array($0.subjects) }), \(alerts.map { Int32(clamping: $0.subjectCount) }), \(alerts.map { Int32(clamping: $0.openCount) }),
                \(try alerts.map { try AlertCoding.encode($0.figures) }), \(alerts.map(\.openedAt)), \(alerts.map(\.clearedAt)),
                \(alerts.map { $0.clearedAt == nil ? nil : $0.ending?.rawValue }), \(alerts.map { $0.escalateAfter.map { Int32($0) } }),
                \(alerts.map(\.escalatedAt)), \(alerts.map(\.isDone)))
                AS r (account_id, alert_id, kind, severity, subjects, subject_count, open_count, figures, opened_at, cleared_at, ending, escalate_after,
                    escalated_at, done)
            ON CONFLICT (account_id, alert_id) DO UPDATE
            SET subject_ids = excluded.subject_ids, subject_count = excluded.subject_count, open_count = excluded.open_count, figures = excluded.figures,
                cleared_at = excluded.cleared_at, ending = excluded.ending, escalated_at = excluded.escalated_at, done = excluded.done
            """)
    }

    private func writeConditions(_ changed: [AlertCondition], forgotten: [AlertCondition.Key]) async throws {
        if !changed.isEmpty {
            _ = try await transaction.execute(
                "alerts.remember",
                """
                INSERT INTO alert_conditions (account_id, kind, subject_id, pending_since, alert_id, open_since, clear_since, occurred_at, ended_at)
                SELECT r.account_id, r.kind, r.subject_id, r.pending_since, r.alert_id, r.open_since, r.clear_since, r.occurred_at, r.ended_at
                FROM unnest(\(changed.map(\.key.account)), \(changed.map(\.key.kind.rawValue)), \(changed.map(\.key.subject)), \(changed.map(\.pendingSince)),
                    \(changed.map(\.alert)), \(changed.map(\.openSince)), \(changed.map(\.clearSince)), \(changed.map(\.occurredAt)), \(changed.map(\.endedAt)))
                    AS r (account_id, kind, subject_id, pending_since, alert_id, open_since, clear_since, occurred_at, ended_at)
                ON CONFLICT (account_id, kind, subject_id) DO UPDATE
                SET pending_since = excluded.pending_since, alert_id = excluded.alert_id, open_since = excluded.open_since,
                    clear_since = excluded.clear_since, occurred_at = excluded.occurred_at, ended_at = excluded.ended_at
                """)
        }
        if !forgotten.isEmpty {
            _ = try await transaction.execute(
                "alerts.forget",
                """
                DELETE FROM alert_conditions c
                USING unnest(\(forgotten.map(\.account)), \(forgotten.map(\.kind.rawValue)), \(forgotten.map(\.subject))) AS r (account_id, kind, subject_id)
                WHERE c.account_id = r.account_id AND c.kind = r.kind AND c.subject_id = r.subject_id
                """)
        }
    }

    // MARK: What was told

    private func writeTellings(_ plans: [Account.ID: NoticePlan]) async throws {
        let told = plans.flatMap { account, plan in
            plan.touchedTellings.compactMap { key in plan.tellings[key].map { (account: account, key: key, telling: $0) } }
        }
        guard !told.isEmpty else { return }
        _ = try await transaction.execute(
            "alerts.told",
            """
            INSERT INTO alert_tellings (account_id, alert_id, channel_id, subjects, cleared)
            SELECT r.account_id, r.alert_id, r.channel_id, r.subjects, r.cleared
            FROM unnest(\(told.map(\.account)), \(told.map(\.key.alert)), \(told.map(\.key.channel)), \(told.map { Int32(clamping: $0.telling.subjects) }),
                \(told.map(\.telling.isCleared))) AS r (account_id, alert_id, channel_id, subjects, cleared)
            ON CONFLICT (account_id, alert_id, channel_id) DO UPDATE SET subjects = excluded.subjects, cleared = excluded.cleared
            """)
    }

    /// Nobody is told anything more of these.
    private func forgetTellings(of done: [BookedAlert]) async throws {
        guard !done.isEmpty else { return }
        _ = try await transaction.execute(
            "alerts.done",
            """
            DELETE FROM alert_tellings t
            USING unnest(\(done.map(\.account)), \(done.map(\.id))) AS r (account_id, alert_id)
            WHERE t.account_id = r.account_id AND t.alert_id = r.alert_id
            """)
    }

    private func writePaces(_ plans: [Account.ID: NoticePlan]) async throws {
        let paced = plans.flatMap { account, plan in
            plan.channels.filter { plan.touchedChannels.contains($0.id) }.map { (account: account, channel: $0) }
        }
        guard !paced.isEmpty else { return }
        let kinds = { (pace: PlannedChannel.Pace) in "{" + pace.firedKinds.map(\.rawValue).sorted().joined(separator: ",") + "}" }
        _ = try await transaction.execute(
            "alerts.paced",
            """
            UPDATE alert_channels c
            SET fired_at = r.fired_at, fired_kinds = r.fired_kinds::text[], cleared_at = r.cleared_at, gateway_fired_at = r.gateway_fired_at,
                gateway_fired_kinds = r.gateway_fired_kinds::text[], gateway_cleared_at = r.gateway_cleared_at
            FROM unnest(\(paced.map(\.account)), \(paced.map(\.channel.id)), \(paced.map(\.channel.account.firedAt)),
                \(paced.map { kinds($0.channel.account) }), \(paced.map(\.channel.account.clearedAt)), \(paced.map(\.channel.gateway.firedAt)),
                \(paced.map { kinds($0.channel.gateway) }), \(paced.map(\.channel.gateway.clearedAt)))
                AS r (account_id, channel_id, fired_at, fired_kinds, cleared_at, gateway_fired_at, gateway_fired_kinds, gateway_cleared_at)
            WHERE c.account_id = r.account_id AND c.channel_id = r.channel_id
            """)
    }

    private func writeNotices(_ notices: [(account: Account.ID, notice: PlannedNotice)]) async throws {
        guard !notices.isEmpty else { return }
        _ = try await transaction.execute(
            "alerts.notices",
            """
            INSERT INTO alert_notices (account_id, notice_id, channel_id, occasion, alert_ids, content, due_at, created_at)
            SELECT r.account_id, r.notice_id, r.channel_id, r.occasion, r.alerts::uuid[], r.content::jsonb, \(now), \(now)
            FROM unnest(\(notices.map(\.account)), \(notices.map { _ in AlertNotice.ID.make(at: now, random: random) }), \(notices.map(\.notice.channel)),
                \(notices.map(\.notice.occasion.rawValue)), \(notices.map { Self.array($0.notice.alerts.map(\.uuid)) }),
                \(try notices.map { try AlertCoding.encode($0.notice.content) })) AS r (account_id, notice_id, channel_id, occasion, alerts, content)
            """)
    }

    private static func array(_ ids: [UUID]) -> String { "{" + ids.map(\.uuidString).joined(separator: ",") + "}" }

    // MARK: Every day, every week

    /// Digests and self-tests that are due. Late by more than three hours, or muted, they are left out; the next one comes at its time.
    private func dailies(_ seen: WatchSight) async throws -> [(account: Account.ID, notice: PlannedNotice)] {
        guard !seen.daily.isEmpty else { return [] }
        let due = try await transaction.query(
            "alerts.daily",
            """
            SELECT account_id, channel_id, digest_at, self_test_at FROM alert_channels
            WHERE account_id = ANY (\(seen.daily)) AND state = 'active' AND (digest_at <= \(now) OR self_test_at <= \(now))
            ORDER BY account_id, channel_id
            """
        ) { row in
            (
                account: try row.column("account_id", as: Account.ID.self), id: try row.column("channel_id", as: AlertChannel.ID.self),
                digestAt: try row.column("digest_at", as: Date?.self), testAt: try row.column("self_test_at", as: Date?.self)
            )
        }
        let isTimely = { (moment: Date?) in moment.map { (0..<ChannelHours.patience).contains(now.timeIntervalSince($0)) } ?? false }
        let digests = try await digests(of: Set(due.filter { isTimely($0.digestAt) }.map(\.account)))
        var notices: [(account: Account.ID, notice: PlannedNotice)] = []
        var next: [(account: Account.ID, id: AlertChannel.ID, digest: Date?, test: Date?)] = []
        for row in due {
            guard let channel = seen.channels[row.account]?.first(where: { $0.id == row.id }) else { continue }
            let hours = ChannelHours(zone: channel.settings.zone)
            func add(_ occasion: AlertNotice.Occasion, _ digest: AlertDigest?) {
                notices.append(
                    (row.account, PlannedNotice(channel: row.id, occasion: occasion, alerts: [], content: NoticeContent(digest: digest, madeAt: now)))
                )
            }
            let isMuted = channel.isMuted(at: now)
            if isTimely(row.digestAt), !isMuted, let digest = digests[row.account] { add(.digest, digest) }
            if isTimely(row.testAt), !isMuted { add(.selfTest, nil) }
            next.append(
                (
                    row.account, row.id, isDue(row.digestAt) ? hours.nextDigest(channel.settings, after: now) : row.digestAt,
                    isDue(row.testAt) ? hours.nextSelfTest(channel.settings, after: now) : row.testAt
                ))
        }
        guard !next.isEmpty else { return [] }
        _ = try await transaction.execute(
            "alerts.nextDaily",
            """
            UPDATE alert_channels c SET digest_at = r.digest_at, self_test_at = r.self_test_at
            FROM unnest(\(next.map(\.account)), \(next.map(\.id)), \(next.map(\.digest)), \(next.map(\.test)))
                AS r (account_id, channel_id, digest_at, self_test_at)
            WHERE c.account_id = r.account_id AND c.channel_id = r.channel_id
            """)
        return notices
    }

    private func isDue(_ moment: Date?) -> Bool { moment.map { $0 <= now } ?? false }

    /// The last 24 hours of each account, in numbers.
    private func digests(of accounts: Set<Account.ID>) async throws -> [Account.ID: AlertDigest] {
        guard !accounts.isEmpty else { return [:] }
        let ids = accounts.sorted()
        let from = now.addingTimeInterval(-86_400)
        let results = try await transaction.pipeline([
            Statement(
                "alerts.digestAlerts",
                """
                SELECT account_id, kind, count(*) FILTER (WHERE opened_at > \(from)) AS opened, count(*) FILTER (WHERE cleared_at IS NULL) AS open
                FROM alerts
                WHERE account_id = ANY (\(ids)) AND (opened_at > \(from) OR NOT done AND cleared_at IS NULL)
                GROUP BY account_id, kind
                ORDER BY account_id, kind
                """),
            Statement(
                "alerts.digestSenders",
                """
                SELECT account_id, count(*) FILTER (WHERE state = 'ready') AS ready, count(*) AS senders
                FROM senders
                WHERE account_id = ANY (\(ids)) AND (\(includesTest) OR NOT test) AND state NOT IN ('unpaired', 'pairing', 'removing', 'removed')
                GROUP BY account_id
                """),
            Statement(
                "alerts.digestMessages",
                """
                SELECT account_id, sum(sent)::bigint AS sent, sum(delivered)::bigint AS delivered, sum(failed)::bigint AS failed
                FROM message_shares
                WHERE account_id = ANY (\(ids)) AND slot > \(from) AND (\(includesTest) OR NOT test)
                GROUP BY account_id
                """),
        ])
        var digests = Dictionary(
            uniqueKeysWithValues: ids.map {
                ($0, AlertDigest(from: from, to: now, lines: [], sendersReady: 0, senders: 0, sent: 0, delivered: 0, failed: 0))
            })
        for row in try results[0].rows(as: {
            (
                account: try $0.column("account_id", as: Account.ID.self), kind: try $0.column("kind", as: String.self),
                opened: try $0.column("opened", as: Int.self), open: try $0.column("open", as: Int.self)
            )
        }) {
            guard let kind = AlertKind(rawValue: row.kind) else { continue }
            digests[row.account]?.lines.append(AlertDigest.Line(kind: kind, opened: row.opened, open: row.open))
        }
        for row in try results[1].rows(as: {
            (
                account: try $0.column("account_id", as: Account.ID.self), ready: try $0.column("ready", as: Int.self),
                all: try $0.column("senders", as: Int.self)
            )
        }) {
            digests[row.account]?.sendersReady = row.ready
            digests[row.account]?.senders = row.all
        }
        for row in try results[2].rows(as: {
            (
                account: try $0.column("account_id", as: Account.ID.self), sent: try $0.column("sent", as: Int.self),
                delivered: try $0.column("delivered", as: Int.self), failed: try $0.column("failed", as: Int.self)
            )
        }) {
            digests[row.account]?.sent = row.sent
            digests[row.account]?.delivered = row.delivered
            digests[row.account]?.failed = row.failed
        }
        return digests
    }
}
