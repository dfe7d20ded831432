package import Foundation
import Postgres

extension Webhooks {
    /// How long deliveries are shown, after success and when dead (design.md §8), in seconds.
    static let shownWhenDelivered: TimeInterval = 7 * 86_400
    static let shownWhenDead: TimeInterval = 30 * 86_400
    /// Attempts of one delivery that are shown: the latest.
    private static let shownAttempts = 50

    /// The delivery log of an endpoint, newest event first.
    package func deliveries(
        _ id: WebhookEndpoint.ID, account: Account.ID, state: WebhookDelivery.State? = nil, page: PageRequest<Event.ID>, now: Date
    ) async throws -> Page<WebhookDelivery, Event.ID> {
        var sql: SQL = """
            SELECT q.event_id, q.type, q.state, q.due_at, q.created_at, q.finished_at, q.code, t.numbers, t.moments, t.durations, t.statuses, t.codes
            FROM event_queue q
            CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(a.attempt ORDER BY a.attempt), '{}') AS numbers, coalesce(array_agg(a.at ORDER BY a.attempt), '{}') AS moments,
                    coalesce(array_agg(a.duration_ms ORDER BY a.attempt), '{}') AS durations,
                    coalesce(array_agg(coalesce(a.status, 0) ORDER BY a.attempt), '{}') AS statuses,
                    coalesce(array_agg(coalesce(a.code, '') ORDER BY a.attempt), '{}') AS codes
                FROM (SELECT w.attempt, w.at, w.duration_ms, w.status, w.code FROM webhook_attempts w
                    WHERE w.account_id = q.account_id AND w.endpoint_id = q.endpoint_id AND w.event_id = q.event_id
                    ORDER BY w.attempt DESC LIMIT \(Self.shownAttempts)) AS a
            ) AS t
            WHERE q.account_id = \(account) AND q.endpoint_id = \(id)
              AND (q.state <> 'delivered' OR q.finished_at > \(now.addingTimeInterval(-Self.shownWhenDelivered)))
              AND (q.state <> 'dead' OR q.finished_at > \(now.addingTimeInterval(-Self.shownWhenDead)))
            """
        if let after = page.after { sql.append(" AND q.event_id < \(after)") }
        if let state { sql.append(" AND q.state = \(state.rawValue)") }
        sql.append(" ORDER BY q.event_id DESC LIMIT \(page.limit + 1)")
        let rows = try await databases.api.query(
            "webhooks.deliveries", sql, settings: Databases.accounts([account]), access: .readOnly, as: WebhookDelivery.init(row:))
        let data = Array(rows.prefix(page.limit))
        return Page(data: data, next: rows.count > page.limit ? data.last?.event : nil)
    }
}

extension WebhookDelivery {
    fileprivate init(row: RowReader) throws {
        let state: State = try row.state("state")
        let createdAt = try row.column("created_at", as: Date.self)
        let numbers = try row.column("numbers", as: [Int32].self)
        let moments = try row.column("moments", as: [Date].self)
        let durations = try row.column("durations", as: [Int32].self)
        let statuses = try row.column("statuses", as: [Int32].self)
        let codes = try row.column("codes", as: [String].self)
        self.init(
            event: try row["event_id"], type: try row["type"], state: state, nextAt: state == .pending ? max(try row["due_at"], createdAt) : nil,
            createdAt: createdAt, finishedAt: try row["finished_at"], code: state == .delivered ? nil : try row["code"],
            attempts: numbers.indices.map {
                Attempt(
                    number: Int(numbers[$0]), at: moments[$0], duration: Int(durations[$0]), status: statuses[$0] == 0 ? nil : Int(statuses[$0]),
                    code: codes[$0].isEmpty ? nil : codes[$0])
            })
    }
}
