package import Foundation
import Postgres
import Secrets

extension Messages {
    /// nil: there is none of that id in this account.
    package func find(_ id: Message.ID, account: Account.ID) async throws -> MessageView? {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.queryOne(
            "messages.find",
            "SELECT \(MessageView.columns) FROM \(MessageView.tables) WHERE m.account_id = \(account) AND m.message_id = \(id)",
            settings: Databases.accounts([account]), access: .readOnly, as: { try MessageView($0, account: account, sealer: sealer) })
    }

    /// Newest first.
    package func list(
        _ filter: MessageFilter = MessageFilter(), page: PageRequest<Message.ID> = PageRequest(), account: Account.ID
    ) async throws -> Page<MessageView, Message.ID> {
        let sealer = try await keys.sealer(for: account)
        var sql: SQL = "SELECT \(MessageView.columns) FROM \(MessageView.tables) WHERE m.account_id = \(account)"
        if let after = page.after { sql.append(" AND m.message_id < \(after)") }
        if let from = filter.createdFrom { sql.append(" AND m.message_id >= \(UUIDv7.lowest(at: from))") }
        if let before = filter.createdBefore { sql.append(" AND m.message_id < \(UUIDv7.lowest(at: before))") }
        if let status = filter.status { sql.append(" AND m.state = ANY (\(status.states.map(\.rawValue)))") }
        if let sender = filter.sender { sql.append(" AND m.sender_id = \(sender)") }
        if let recipient = filter.recipient { sql.append(" AND m.recipient_index = \(sealer.index(of: recipient))") }
        if let reference = filter.reference { sql.append(" AND m.reference_index = \(sealer.index(of: reference))") }
        sql.append(" ORDER BY m.message_id DESC LIMIT \(page.limit + 1)")
        let rows = try await databases.api.query("messages.list", sql, settings: Databases.accounts([account]), access: .readOnly) {
            try MessageView($0, account: account, sealer: sealer)
        }
        let data = Array(rows.prefix(page.limit))
        return Page(data: data, next: rows.count > page.limit ? data.last?.id : nil)
    }

    /// The timeline, oldest first. nil: there is no such message in this account.
    package func events(_ id: Message.ID, account: Account.ID) async throws -> [MessageEvent]? {
        let events = try await databases.api.query(
            "messages.events",
            """
            SELECT event_id, number, kind, failure_code, at
            FROM message_events
            WHERE account_id = \(account) AND message_id = \(id)
            ORDER BY number
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { row in
            MessageEvent(
                id: try row["event_id"], number: try row["number"], kind: try row.state("kind"), at: try row["at"],
                failure: try row.failure("failure_code"))
        }
        return events.isEmpty ? nil : events
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
        _ = try await databases.api.query(
            "messages.cancel",
            Settlement.statement(
                victims: """
                    SELECT account_id, message_id, 'canceled' AS new_state, NULL::text AS failure_code
                    FROM outbox
                    WHERE account_id = \(account) AND message_id = \(id) AND state IN ('scheduled', 'hold', 'accepted', 'prepared')
                    FOR UPDATE
                    """, now: now), settings: Databases.accounts([account]), as: { _ in })
        guard let view = try await find(id, account: account) else { return nil }
        return view.status == .canceled ? .canceled(view) : .refused(view)
    }
}
