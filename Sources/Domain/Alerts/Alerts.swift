package import Foundation
import Postgres
import Primitives
import Secrets

/// What is wrong, whom that is told, and what people say to it.
///
/// For people: rules, channels, links, history, acknowledge, silence. For what runs by itself: `watch` turns facts into alerts and notices; notices are
/// claimed, sent by the room above, and recorded. One way down, by rows.
package struct Alerts: Sendable {
    /// How long alerts are shown once they are over; notices after success, and when dead (design.md §8), in seconds.
    package static let lifetime: TimeInterval = 90 * 86_400
    static let shownWhenSent: TimeInterval = 7 * 86_400
    static let shownWhenDead: TimeInterval = 30 * 86_400
    /// The longest that an alert is silenced, or a channel muted, in seconds.
    package static let longestSilence: TimeInterval = 30 * 86_400

    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource
    /// Live senders have limits by default.
    let isPaced: Bool

    // MARK: Rules

    /// One for every kind, in the list's order.
    package func rules(_ account: Account.ID) async throws -> [AlertRule] {
        let stored = try await databases.api.query(
            "alerts.rules", "SELECT \(AlertRule.columns) FROM alert_rules r WHERE r.account_id = \(account)", settings: Databases.accounts([account]),
            access: .readOnly, as: AlertRule.init(row:))
        let known = Dictionary(stored.compactMap(\.self).map { ($0.kind, $0) }, uniquingKeysWith: { first, _ in first })
        return AlertKind.allCases.map { known[$0] ?? AlertRule($0) }
    }

    /// Changes a rule; the watcher goes by it from its next step on. An alert that is open keeps its severity.
    /// - Throws: `InvalidAlertRule`.
    package func setRule(_ kind: AlertKind, account: Account.ID, _ fields: AlertRuleFields, now: Date) async throws -> AlertRule {
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            // Two that change it at once wait for each other.
            _ = try await transaction.query(
                "alerts.lockRules", "SELECT pg_advisory_xact_lock(hashtextextended(\(account.uuid.uuidString), 17))::text AS locked", as: { _ in })
            let before = try await transaction.queryOne(
                "alerts.rule", "SELECT \(AlertRule.columns) FROM alert_rules r WHERE r.account_id = \(account) AND r.kind = \(kind.rawValue)",
                as: AlertRule.init(row:))
            let rule = try fields.applied(to: before.flatMap(\.self) ?? AlertRule(kind))
            try await transaction.lastStatement(
                "alerts.setRule",
                """
                INSERT INTO alert_rules (account_id, kind, enabled, severity, open_after, clear_after, share, minimum, age, escalate_after)
                VALUES (\(account), \(kind.rawValue), \(rule.isEnabled), \(rule.severity.rawValue), \(Int32(rule.thresholds.openAfter)),
                    \(Int32(rule.thresholds.clearAfter)), \(rule.thresholds.share as Double?), \(rule.thresholds.minimum.map { Int32($0) } as Int32?),
                    \(rule.thresholds.age.map { Int32($0) } as Int32?), \(rule.escalateAfter.map { Int32($0) } as Int32?))
                ON CONFLICT (account_id, kind) DO UPDATE
                SET enabled = excluded.enabled, severity = excluded.severity, open_after = excluded.open_after, clear_after = excluded.clear_after,
                    share = excluded.share, minimum = excluded.minimum, age = excluded.age, escalate_after = excluded.escalate_after
                """)
            return rule
        }
    }

    /// Back to the defaults.
    package func resetRule(_ kind: AlertKind, account: Account.ID) async throws -> AlertRule {
        try await databases.api.execute(
            "alerts.resetRule", "DELETE FROM alert_rules WHERE account_id = \(account) AND kind = \(kind.rawValue)",
            settings: Databases.accounts([account]))
        return AlertRule(kind)
    }

    // MARK: History

    /// Newest first; those that are over for 90 days.
    package func history(
        account: Account.ID, _ filter: AlertFilter = AlertFilter(), page: PageRequest<Alert.ID> = PageRequest(), now: Date
    ) async throws -> Page<Alert, Alert.ID> {
        var condition: SQL = "true"
        if let after = page.after { condition.append(" AND a.alert_id < \(after)") }
        if let kinds = filter.kinds { condition.append(" AND a.kind = ANY (\(kinds.map(\.rawValue)))") }
        if let severity = filter.severity { condition.append(" AND a.severity = \(severity.rawValue)") }
        if let isOpen = filter.isOpen { condition.append(" AND (a.cleared_at IS NULL) = \(isOpen)") }
        let alerts = try await read(account, condition, limit: page.limit + 1, now: now)
        let data = Array(alerts.prefix(page.limit))
        return Page(data: data, next: alerts.count > page.limit ? data.last?.id : nil)
    }

    /// nil: there is none of that id in this account, or no more.
    package func alert(_ id: Alert.ID, account: Account.ID, now: Date) async throws -> Alert? {
        try await read(account, "a.alert_id = \(id)", limit: 1, now: now).first
    }

    /// Somebody takes care of it: it does not escalate, and what only happened is over with the watcher's next step. The first one counts.
    package func acknowledge(_ id: Alert.ID, account: Account.ID, by actor: Alert.Actor, now: Date) async throws -> Alert? {
        try await databases.api.execute(
            "alerts.acknowledge",
            """
            UPDATE alerts SET acknowledged_at = \(now), acknowledged_key = \(actor.key as APIKey.ID?), acknowledged_channel = \(actor.channel as AlertChannel.ID?)
            WHERE account_id = \(account) AND alert_id = \(id) AND acknowledged_at IS NULL AND cleared_at IS NULL
            """, settings: Databases.accounts([account]))
        return try await alert(id, account: account, now: now)
    }

    /// Nobody is told of it until then, except that it is over; nil: from now on they are. At most 30 days.
    package func silence(_ id: Alert.ID, account: Account.ID, until: Date?, by actor: Alert.Actor, now: Date) async throws -> Alert? {
        let until = until.map { min($0, now.addingTimeInterval(Self.longestSilence)) }
        try await databases.api.execute(
            "alerts.silence",
            "UPDATE alerts SET silenced_until = \(until as Date?) WHERE account_id = \(account) AND alert_id = \(id) AND cleared_at IS NULL",
            settings: Databases.accounts([account]))
        return try await alert(id, account: account, now: now)
    }

    /// How the account stands.
    package func overview(_ account: Account.ID, now: Date) async throws -> AlertOverview {
        let sealer = try await keys.sealer(for: account)
        let open = try await read(account, "a.cleared_at IS NULL", limit: Alert.namedSubjects, now: now)
        let found = try await databases.api.transaction(Databases.accounts([account]), access: .readOnly) { transaction in
            let results = try await transaction.commit(with: [
                Statement(
                    "alerts.overview",
                    """
                    SELECT a.name_sealed, (SELECT count(*) FROM alerts l WHERE l.account_id = a.account_id AND NOT l.done AND l.cleared_at IS NULL) AS open,
                        (SELECT count(*) FROM (SELECT 1 FROM outbox o WHERE o.account_id = a.account_id AND o.state = 'accepted' LIMIT 100000) AS q) AS queued,
                        (SELECT max(c.muted_until) FROM alert_channels c WHERE c.account_id = a.account_id AND c.muted_until > \(now)) AS muted_until,
                        (SELECT min(w.due_at) FROM senders s
                         CROSS JOIN LATERAL (SELECT o.due_at FROM outbox o
                            WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state = 'accepted' AND o.due_at <= \(now)
                            ORDER BY o.priority, o.due_at LIMIT 1) AS w
                         WHERE s.account_id = a.account_id) AS oldest
                    FROM accounts a
                    WHERE a.account_id = \(account)
                    """),
                Statement(
                    "alerts.overviewSenders",
                    """
                    SELECT s.state, \(SenderHealth.columns)
                    FROM senders s
                    LEFT JOIN sender_health h ON h.account_id = s.account_id AND h.sender_id = s.sender_id
                    WHERE s.account_id = \(account) AND s.state <> 'removed'
                    """),
            ])
            let counts = try results[0].rows {
                (
                    name: try $0.column("name_sealed", as: [UInt8].self), open: try $0.column("open", as: Int.self),
                    queued: try $0.column("queued", as: Int.self), muted: try $0.column("muted_until", as: Date?.self),
                    oldest: try $0.column("oldest", as: Date?.self)
                )
            }
            let codes = try results[1].rows { row in
                SenderCondition(try row.state("state"), try SenderHealth(row), now: now).code
            }
            return (counts.first, codes)
        }
        guard let counts = found.0 else { throw AccountGone(account: account) }
        return AlertOverview(
            accountName: try sealer.openText(counts.name, .accountName(account)), open: open, openCount: counts.open,
            senders: Dictionary(found.1.map { ($0, 1) }, uniquingKeysWith: +), queued: counts.queued, oldestDue: counts.oldest,
            mutedUntil: counts.muted)
    }

    private func read(_ account: Account.ID, _ condition: SQL, limit: Int, now: Date) async throws -> [Alert] {
        let rows = try await databases.api.query(
            "alerts.read",
            """
            SELECT a.alert_id, a.kind, a.severity, a.subject_ids, a.subject_count, a.open_count, a.figures::text AS figures, a.opened_at, a.cleared_at,
                a.ending, a.acknowledged_at, a.acknowledged_key, a.acknowledged_channel, a.silenced_until, a.escalated_at
            FROM alerts a
            WHERE a.account_id = \(account) AND (a.cleared_at IS NULL OR a.cleared_at > \(now.addingTimeInterval(-Self.lifetime))) AND \(condition)
            ORDER BY a.alert_id DESC
            LIMIT \(limit)
            """, settings: Databases.accounts([account]), access: .readOnly, as: AlertRow.init(row:))
        let subjects = rows.flatMap { row in row.subjects.map { SubjectPlace(account: account, kind: row.kind.subject, id: $0) } }
        let labels = try await SubjectLabels.read(subjects, database: databases.api, keys: keys)
        return rows.map { $0.alert(account, labels) }
    }
}

extension Alert.Actor {
    fileprivate var key: APIKey.ID? { if case .key(let id) = self { id } else { nil } }
    fileprivate var channel: AlertChannel.ID? { if case .channel(let id) = self { id } else { nil } }
}

private struct AlertRow: Sendable {
    let id: Alert.ID
    let kind: AlertKind
    let severity: AlertSeverity
    let subjects: [UUID]
    let counts: (all: Int, open: Int)
    let figures: AlertFigures
    let openedAt: Date
    let clearedAt: Date?
    let ending: Alert.Ending?
    let acknowledgedAt: Date?
    let actor: Alert.Actor?
    let silencedUntil: Date?
    let escalatedAt: Date?

    init(row: RowReader) throws {
        id = try row["alert_id"]
        kind = try row.state("kind")
        severity = try row.state("severity")
        subjects = try row["subject_ids"]
        counts = (try row["subject_count"], try row["open_count"])
        figures = try AlertCoding.decode(AlertFigures.self, from: row["figures"])
        openedAt = try row["opened_at"]
        clearedAt = try row["cleared_at"]
        ending = clearedAt == nil ? nil : try row.state("ending")
        acknowledgedAt = try row["acknowledged_at"]
        let key = try row.column("acknowledged_key", as: APIKey.ID?.self)
        let channel = try row.column("acknowledged_channel", as: AlertChannel.ID?.self)
        actor = key.map(Alert.Actor.key) ?? channel.map(Alert.Actor.channel)
        silencedUntil = try row["silenced_until"]
        escalatedAt = try row["escalated_at"]
    }

    func alert(_ account: Account.ID, _ labels: SubjectLabels) -> Alert {
        Alert(
            id: id, account: account, kind: kind, severity: severity,
            subjects: subjects.compactMap { subject in
                kind.subject.name(of: subject).map {
                    Alert.Subject(kind: kind.subject, id: $0, label: labels[SubjectPlace(account: account, kind: kind.subject, id: subject)])
                }
            }, subjectCount: counts.all, openCount: counts.open, figures: figures, openedAt: openedAt, clearedAt: clearedAt, ending: ending,
            acknowledgedAt: acknowledgedAt, acknowledgedBy: actor, silencedUntil: silencedUntil, escalatedAt: escalatedAt)
    }
}

extension AlertRule {
    /// Of `alert_rules r`.
    static let columns: SQL = "r.account_id, r.kind, r.enabled, r.severity, r.open_after, r.clear_after, r.share, r.minimum, r.age, r.escalate_after"

    /// nil: of a kind that this version does not know.
    init?(row: RowReader) throws {
        guard let kind = AlertKind(rawValue: try row.column("kind", as: String.self)) else { return nil }
        self.init(kind)
        isEnabled = try row["enabled"]
        severity = try row.state("severity")
        thresholds.openAfter = TimeInterval(try row.column("open_after", as: Int.self))
        thresholds.clearAfter = TimeInterval(try row.column("clear_after", as: Int.self))
        thresholds.share = try row["share"]
        thresholds.minimum = try row["minimum"]
        thresholds.age = try row.column("age", as: Int?.self).map(TimeInterval.init)
        escalateAfter = try row.column("escalate_after", as: Int?.self).map(TimeInterval.init)
        isDefault = false
    }
}

/// JSON of our own columns.
enum AlertCoding {
    static func encode(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        encoder.dateEncodingStrategy = .secondsSince1970
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from text: String) throws -> Value {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .secondsSince1970
        return try decoder.decode(type, from: Data(text.utf8))
    }
}
