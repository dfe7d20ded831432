package import Foundation
import Postgres
import Primitives
import Secrets

extension Messages {
    /// How long anything about a message is shown (design.md §8): a year. Older ones are not there, even if nothing has removed them yet.
    static let shownFor: TimeInterval = 365 * 86_400

    private var oldest: UUID { UUIDv7.lowest(at: now().addingTimeInterval(-Self.shownFor)) }

    /// nil: there is none of that id in this account.
    package func find(_ id: Message.ID, account: Account.ID) async throws -> MessageView? {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.queryOne(
            "messages.find",
            """
            SELECT \(MessageView.columns)
            FROM \(MessageView.tables)
            WHERE m.account_id = \(account) AND m.message_id = \(id) AND m.message_id >= \(oldest)
            """,
            settings: Databases.accounts([account]), access: .readOnly, as: { try MessageView($0, account: account, sealer: sealer) })
    }

    /// Those of them that are there.
    func find(_ ids: [Message.ID], account: Account.ID) async throws -> [Message.ID: MessageView] {
        guard !ids.isEmpty else { return [:] }
        let sealer = try await keys.sealer(for: account)
        let found = try await databases.api.query(
            "messages.findMany",
            """
            SELECT \(MessageView.columns)
            FROM \(MessageView.tables)
            WHERE m.account_id = \(account) AND m.message_id = ANY (\(ids)) AND m.message_id >= \(oldest)
            """,
            settings: Databases.accounts([account]), access: .readOnly, as: { try MessageView($0, account: account, sealer: sealer) })
        return Dictionary(found.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Newest first.
    package func list(
        _ filter: MessageFilter = MessageFilter(), page: PageRequest<Message.ID> = PageRequest(), account: Account.ID
    ) async throws -> Page<MessageView, Message.ID> {
        let sealer = try await keys.sealer(for: account)
        var sql: SQL = """
            SELECT \(MessageView.columns)
            FROM \(MessageView.tables)
            WHERE m.account_id = \(account) AND m.message_id >= \(oldest)
            """
        if let after = page.after { sql.append(" AND m.message_id < \(after)") }
        if let from = filter.createdFrom { sql.append(" AND m.message_id >= \(UUIDv7.lowest(at: from))") }
        if let before = filter.createdBefore { sql.append(" AND m.message_id < \(UUIDv7.lowest(at: before))") }
        if let status = filter.status { sql.append(" AND m.state = ANY (\(status.states.map(\.rawValue)))") }
        if let sender = filter.sender { sql.append(" AND m.sender_id = \(sender)") }
        if let pool = filter.pool { sql.append(" AND m.pool_id = \(pool)") }
        if let recipient = filter.recipient { sql.append(" AND m.recipient_index = \(sealer.index(of: recipient))") }
        if let reference = filter.reference { sql.append(" AND m.reference_index = \(sealer.index(of: reference))") }
        if let isTest = filter.isTest { sql.append(" AND m.test = \(isTest)") }
        sql.append(" ORDER BY m.message_id DESC LIMIT \(page.limit + 1)")
        let rows = try await databases.api.query("messages.list", sql, settings: Databases.accounts([account]), access: .readOnly) {
            try MessageView($0, account: account, sealer: sealer)
        }
        let data = Array(rows.prefix(page.limit))
        return Page(data: data, next: rows.count > page.limit ? data.last?.id : nil)
    }

    /// The timeline, oldest first. nil: there is no such message in this account.
    package func events(_ id: Message.ID, account: Account.ID) async throws -> [MessageEvent]? {
        let rows = try await databases.api.query(
            "messages.events",
            """
            SELECT m.created_at, m.send_at, e.event_id, e.number, e.kind, e.failure_code, e.at
            FROM messages m
            LEFT JOIN message_events e ON e.account_id = m.account_id AND e.message_id = m.message_id
            WHERE m.account_id = \(account) AND m.message_id = \(id) AND m.message_id >= \(oldest)
            ORDER BY e.number
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row -> (MessageEvent, MessageEvent?) in
            let first = MessageEvent.first(
                of: id, isScheduled: try row.column("send_at", as: Date?.self) != nil, at: try row.column("created_at", as: Date.self))
            guard let number = try row.column("number", as: Int?.self) else { return (first, nil) }
            let event = MessageEvent(
                id: try row["event_id"], number: number, kind: try row.state("kind"), at: try row["at"], failure: try row.failure("failure_code"))
            return (first, event)
        }
        guard let first = rows.first?.0 else { return nil }
        let events = rows.compactMap(\.1)
        // Messages of earlier versions have a row for the first one, too.
        return events.first?.number == 1 ? events : [first] + events
    }

    /// Every time its bytes left, oldest first, as far as the outcome is known. nil: there is no such message in this account.
    package func attempts(_ id: Message.ID, account: Account.ID) async throws -> [MessageAttempt]? {
        let rows = try await databases.api.query(
            "messages.attempts",
            """
            SELECT a.attempt, a.sender_id, a.wire_at, a.ended_at, a.outcome, a.server_code, a.due_at, a.claimed_at, a.resolve_ms, a.encrypt_ms,
                a.commit_ms, a.receipt_at
            FROM messages m
            LEFT JOIN message_attempts a ON a.account_id = m.account_id AND a.message_id = m.message_id
            WHERE m.account_id = \(account) AND m.message_id = \(id) AND m.message_id >= \(oldest)
            ORDER BY a.attempt
            """, settings: Databases.accounts([account]), access: .readOnly, as: MessageAttempt.init(row:))
        return rows.isEmpty ? nil : rows.compactMap(\.self)
    }

    /// What came of a wish to cancel.
    package enum Cancellation: Sendable {
        /// The recipient will not get it.
        case canceled(MessageView)
        /// Too late: its bytes may have left, or it is settled.
        case refused(MessageView)
    }

    /// Cancels exactly: it succeeds only while nothing has left, and then nothing will. Twice is the same as once. nil: no such message.
    package func cancel(_ id: Message.ID, account: Account.ID, now: Date) async throws -> Cancellation? {
        Failpoint.hit(.cancelBegin)
        _ = try await databases.api.query(
            "messages.cancel",
            Settlement.statement(
                victims: """
                    SELECT account_id, message_id, 'canceled' AS new_state, NULL::text AS failure_code
                    FROM outbox
                    WHERE account_id = \(account) AND message_id = \(id) AND state IN ('scheduled', 'hold', 'accepted', 'prepared')
                    FOR UPDATE
                    """, now: now), settings: Databases.accounts([account]), as: { _ in })
        Failpoint.hit(.canceled)
        guard let view = try await find(id, account: account) else { return nil }
        return view.status == .canceled ? .canceled(view) : .refused(view)
    }
}

extension MessageAttempt {
    /// nil: the message has none.
    init?(row: RowReader) throws {
        guard let number = try row.column("attempt", as: Int?.self) else { return nil }
        let wireAt = try row.column("wire_at", as: Date.self)
        let endedAt = try row.column("ended_at", as: Date.self)
        let outcome: Outcome = try row.state("outcome")
        let dueAt = try row.column("due_at", as: Date?.self)
        let claimedAt = try row.column("claimed_at", as: Date?.self)
        func milliseconds(_ from: Date?, _ to: Date?) -> Int? {
            guard let from, let to else { return nil }
            return Int(max(0, (to.timeIntervalSince(from) * 1_000).rounded()))
        }
        self.init(
            number: number, sender: try row["sender_id"], outcome: outcome, wireAt: wireAt, endedAt: endedAt, serverCode: try row["server_code"],
            queue: milliseconds(dueAt, claimedAt), resolve: try row["resolve_ms"], encrypt: try row["encrypt_ms"], commit: try row["commit_ms"],
            acknowledgement: outcome == .acknowledged || outcome == .refused ? milliseconds(wireAt, endedAt) : nil,
            receipt: milliseconds(wireAt, try row["receipt_at"]))
    }
}
