package import Foundation
import Postgres
import Secrets

/// Notices on their way: claimed by a node, sent by the room above, and what came of that recorded.
extension Alerts {
    /// Takes what is due, the longest waiting first, of all accounts; until `deadline` it is this node's. With one notice of a batch come the others.
    /// One claimer at a time: whoever comes meanwhile gets nothing and asks again.
    package func claimNotices(limit: Int, now: Date, deadline: Date) async throws -> [ClaimedNotice] {
        let due = try await databases.engine.query(
            "notices.due", "SELECT account_id, notice_id FROM gateway_due_notices(\(now), \(Int32(clamping: limit)))", access: .readOnly
        ) { (account: try $0.column("account_id", as: Account.ID.self), id: try $0.column("notice_id", as: AlertNotice.ID.self)) }
        guard !due.isEmpty else { return [] }
        let wanted: SQL = "unnest(\(due.map(\.account)), \(due.map(\.id))) AS w (account_id, notice_id)"
        let rows = try await databases.engine.transaction(Databases.accounts(due.map(\.account))) { transaction in
            let lock = try await transaction.queryOne(
                "notices.lock", "SELECT pg_try_advisory_xact_lock(hashtext('gateway.notices')) AS locked",
                as: { try $0.column("locked", as: Bool.self) })
            guard lock == true else { return [NoticeRow]() }
            // What goes to a channel that is gone, or that takes nothing, has no way to go.
            _ = try await transaction.execute(
                "notices.stranded",
                """
                UPDATE alert_notices n SET state = 'dead', finished_at = \(now), claimed = false, code = 'channel_gone', secret_sealed = NULL
                FROM \(wanted)
                WHERE n.account_id = w.account_id AND n.notice_id = w.notice_id AND n.state = 'pending' AND n.due_at <= \(now)
                  AND NOT EXISTS (SELECT FROM alert_channels c WHERE c.account_id = n.account_id AND c.channel_id = n.channel_id
                    AND (c.state = 'active' OR n.occasion = 'verification'))
                """)
            return try await transaction.lastQuery(
                "notices.claim",
                """
                WITH claimed AS (
                    UPDATE alert_notices n
                    SET claimed = true, due_at = \(deadline), claims = n.claims + 1, tries = n.tries + 1, first_tried_at = coalesce(n.first_tried_at, \(now))
                    FROM \(wanted), accounts a
                    WHERE n.account_id = w.account_id AND n.notice_id = w.notice_id AND n.state = 'pending' AND n.due_at <= \(now)
                      AND a.account_id = n.account_id AND a.state = 'active'
                    RETURNING n.account_id AS notice_account, n.notice_id, n.channel_id AS notice_channel, n.occasion, n.alert_ids, n.content::text AS content,
                        n.secret_sealed, n.batch_id, n.claims, n.tries, n.first_tried_at, n.created_at, a.name_sealed
                )
                SELECT d.notice_id, d.occasion, d.content, d.secret_sealed, d.batch_id, d.claims, d.tries, d.first_tried_at, d.created_at, d.name_sealed,
                    \(AlertChannel.columns),
                    ARRAY(SELECT e.telegram_message FROM alert_notices e
                        WHERE e.account_id = d.notice_account AND e.channel_id = d.notice_channel AND e.telegram_message IS NOT NULL
                          AND e.alert_ids && d.alert_ids AND e.notice_id <> d.notice_id
                        ORDER BY e.notice_id DESC LIMIT 20) AS earlier
                FROM claimed d
                JOIN alert_channels c ON c.account_id = d.notice_account AND c.channel_id = d.notice_channel
                ORDER BY d.created_at, d.notice_id
                """, as: NoticeRow.init(row:))
        }
        let places = rows.flatMap { row in row.content.items.flatMap { $0.subjects }.compactMap { row.place(of: $0) } }
        let labels = try await SubjectLabels.read(places, database: databases.engine, keys: keys)
        var notices: [ClaimedNotice] = []
        for row in rows {
            // An account that closed meanwhile: its rows are erased. One row that cannot be opened stops no other.
            do { notices.append(try row.notice(try await keys.sealer(for: row.channel.account), labels)) } catch is AccountGone {
            } catch is SecretsFailure {}
        }
        return notices
    }

    /// Binds notices together that go out as one, under one name, before they are sent for the first time; nil takes them apart again.
    /// False: one of them is no longer this claim's, and nothing was changed.
    package func batch(_ notices: [ClaimedNotice], as id: UUID?, now: Date) async throws -> Bool {
        struct Lost: Error {}
        do {
            try await databases.engine.transaction(Databases.accounts(notices.map(\.account))) { transaction in
                let bound = try await transaction.execute(
                    "notices.batch",
                    """
                    UPDATE alert_notices n SET batch_id = \(id as UUID?)
                    FROM unnest(\(notices.map(\.account)), \(notices.map(\.id)), \(notices.map { Int32($0.claim) })) AS w (account_id, notice_id, claims)
                    WHERE n.account_id = w.account_id AND n.notice_id = w.notice_id AND n.claims = w.claims AND n.state = 'pending' AND n.claimed
                      AND n.due_at > \(now)
                    """)
                guard bound == notices.count else { throw Lost() }
            }
        } catch is Lost { return false }
        return true
    }

    /// Writes down what came of a try. A late report of a claim that has passed to another node changes nothing, unless it tells of a success.
    package func record(_ report: NoticeReport) async throws {
        let notice = report.notice
        let account = notice.account
        try await databases.engine.transaction(Databases.accounts([account])) { transaction in
            // In one order: channel, notice.
            _ = try await transaction.query(
                "notices.lockChannel",
                "SELECT state FROM alert_channels WHERE account_id = \(account) AND channel_id = \(notice.channel.id) FOR NO KEY UPDATE", as: { _ in }
            )
            switch report.ending {
            case .sent(let message, let provider):
                let id = provider.flatMap { (1...128).contains($0.utf8.count) ? $0 : nil }
                _ = try await transaction.commit(with: [
                    Statement(
                        "notices.sent",
                        """
                        UPDATE alert_notices SET state = 'sent', finished_at = \(report.at), claimed = false, code = NULL, secret_sealed = NULL,
                            telegram_message = \(message as Int64?), provider_id = \(id as String?)
                        WHERE account_id = \(account) AND notice_id = \(notice.id) AND state = 'pending'
                        """),
                    Statement(
                        "notices.arrived",
                        """
                        UPDATE alert_channels SET last_success_at = greatest(last_success_at, \(report.at))
                        WHERE account_id = \(account) AND channel_id = \(notice.channel.id)
                        """),
                ])
            case .released:
                try await postpone(notice, until: report.at, code: nil, isTry: false, in: transaction)
            case .again(let at, let code):
                let next = at ?? report.at.addingTimeInterval(NoticeSchedule.delay(afterTry: notice.tries, random: random))
                let last = (notice.firstTriedAt ?? notice.createdAt).addingTimeInterval(NoticeSchedule.lifetime)
                if next <= last {
                    try await postpone(notice, until: next, code: code, isTry: true, in: transaction)
                } else {
                    try await end(notice, code: "expired", at: report.at, isToldAnew: true, in: transaction)
                }
            case .dead(let code):
                try await end(notice, code: code, at: report.at, isToldAnew: false, in: transaction)
            case .blocked(let code):
                _ = try await transaction.commit(with: Self.blocking(notice.channel.id, account, code: code, now: report.at))
            case .migrated(let chat):
                try await migrate(notice.channel.id, account, to: chat, in: transaction)
                try await postpone(notice, until: report.at, code: nil, isTry: false, in: transaction)
            }
        }
    }

    /// A mail that was sent came back: its address takes nothing any more. False: no mail of that id is known.
    package func blockEmail(provider: String, code: String, now: Date) async throws -> Bool {
        let found = try await databases.engine.queryOne(
            "notices.findMail", "SELECT account_id, channel_id FROM gateway_find_mail(\(provider))", access: .readOnly
        ) { (account: try $0.column("account_id", as: Account.ID.self), id: try $0.column("channel_id", as: AlertChannel.ID.self)) }
        guard let found else { return false }
        try await databases.engine.transaction(Databases.accounts([found.account])) { transaction in
            _ = try await transaction.commit(with: Self.blocking(found.id, found.account, code: code, now: now))
        }
        return true
    }

    /// The log of a channel, newest first: for seven days after success, thirty when dead.
    package func notices(
        of channel: AlertChannel.ID, account: Account.ID, page: PageRequest<AlertNotice.ID> = PageRequest(), now: Date
    ) async throws -> Page<AlertNotice, AlertNotice.ID> {
        var condition: SQL = "true"
        if let after = page.after { condition.append(" AND n.notice_id < \(after)") }
        let rows = try await databases.api.query(
            "notices.read",
            """
            SELECT n.notice_id, n.channel_id, n.occasion, n.alert_ids, n.state, n.tries, n.code, n.created_at, n.finished_at
            FROM alert_notices n
            WHERE n.account_id = \(account) AND n.channel_id = \(channel) AND \(condition)
              AND (n.state <> 'sent' OR n.finished_at > \(now.addingTimeInterval(-Self.shownWhenSent)))
              AND (n.state <> 'dead' OR n.finished_at > \(now.addingTimeInterval(-Self.shownWhenDead)))
            ORDER BY n.notice_id DESC
            LIMIT \(page.limit + 1)
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row in
            AlertNotice(
                id: try row["notice_id"], channel: try row["channel_id"], occasion: try row.state("occasion"), alerts: try row["alert_ids"],
                state: try row.state("state"), attempts: try row["tries"], code: try row["code"], createdAt: try row["created_at"],
                finishedAt: try row["finished_at"])
        }
        let data = Array(rows.prefix(page.limit))
        return Page(data: data, next: rows.count > page.limit ? data.last?.id : nil)
    }

    // MARK: Parts

    private func postpone(_ notice: ClaimedNotice, until: Date, code: String?, isTry: Bool, in transaction: Transaction) async throws {
        _ = try await transaction.execute(
            "notices.again",
            """
            UPDATE alert_notices
            SET due_at = \(until), claimed = false, code = coalesce(\(code.map(Self.safe) as String?), code), tries = greatest(tries - \(isTry ? 0 : 1), 0),
                first_tried_at = CASE WHEN \(isTry) OR tries > 1 THEN first_tried_at END
            WHERE account_id = \(notice.account) AND notice_id = \(notice.id) AND state = 'pending' AND claims = \(Int32(notice.claim))
            """)
    }

    /// - Parameter isToldAnew: what it told of, if it still holds, is told under another id.
    private func end(_ notice: ClaimedNotice, code: String, at: Date, isToldAnew: Bool, in transaction: Transaction) async throws {
        let ended = try await transaction.query(
            "notices.end",
            """
            UPDATE alert_notices SET state = 'dead', finished_at = \(at), claimed = false, code = \(Self.safe(code)), secret_sealed = NULL
            WHERE account_id = \(notice.account) AND notice_id = \(notice.id) AND state = 'pending' AND claims = \(Int32(notice.claim))
            RETURNING alert_ids
            """, as: { try $0.column("alert_ids", as: [Alert.ID].self) })
        guard let alerts = ended.first, isToldAnew, [.fired, .more, .escalated].contains(notice.occasion) else { return }
        _ = try await transaction.execute(
            "notices.untold",
            """
            DELETE FROM alert_tellings t USING alerts l
            WHERE t.account_id = \(notice.account) AND t.channel_id = \(notice.channel.id) AND t.alert_id = ANY (\(alerts))
              AND l.account_id = t.account_id AND l.alert_id = t.alert_id AND l.cleared_at IS NULL
            """)
    }
}

/// What a claim reads, still sealed: rows do not outlive the read.
private struct NoticeRow: Sendable {
    let id: AlertNotice.ID
    let occasion: AlertNotice.Occasion
    let content: NoticeContent
    let secret: [UInt8]?
    let batch: UUID?
    let claim: Int
    let tries: Int
    let firstTriedAt: Date?
    let createdAt: Date
    let name: [UInt8]
    let channel: ChannelRow
    let earlier: [Int64]

    init(row: RowReader) throws {
        id = try row["notice_id"]
        occasion = try row.state("occasion")
        content = try AlertCoding.decode(NoticeContent.self, from: row["content"])
        secret = try row["secret_sealed"]
        batch = try row["batch_id"]
        claim = try row["claims"]
        tries = try row["tries"]
        firstTriedAt = try row["first_tried_at"]
        createdAt = try row["created_at"]
        name = try row["name_sealed"]
        channel = try ChannelRow(row: row)
        earlier = try row["earlier"]
    }

    func place(of subject: NoticeSubject) -> SubjectPlace? {
        let uuid: UUID? =
            switch subject.kind {
            case .sender: try? Sender.ID(subject.id).uuid
            case .endpoint: try? WebhookEndpoint.ID(subject.id).uuid
            case .channel: try? AlertChannel.ID(subject.id).uuid
            case .key: try? APIKey.ID(subject.id).uuid
            case .account, .gateway: nil
            }
        return uuid.map { SubjectPlace(account: channel.account, kind: subject.kind, id: $0) }
    }

    func notice(_ sealer: Sealer, _ labels: SubjectLabels) throws -> ClaimedNotice {
        var content = content
        for item in content.items.indices {
            for subject in content.items[item].subjects.indices {
                content.items[item].subjects[subject].label = place(of: content.items[item].subjects[subject]).flatMap { labels[$0] }
            }
        }
        return ClaimedNotice(
            account: channel.account, accountName: try sealer.openText(name, .accountName(channel.account)), id: id, occasion: occasion,
            channel: try channel.channel(sealer), content: content, secret: try secret.map { try sealer.openText($0, .noticeSecret(id)) },
            batch: batch,
            tries: tries, createdAt: createdAt, firstTriedAt: tries > 1 ? firstTriedAt : nil, earlierMessages: earlier, claim: claim)
    }
}
