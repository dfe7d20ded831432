import Foundation
import Postgres
import Primitives

/// Writes down what came of many attempts in one transaction: endpoints first, in one order, so that writers wait for each other and never in a circle.
struct DeliveryReports: Sendable {
    let database: Database
    let random: any RandomSource

    /// One attempt as the rules understand it.
    private struct Entry {
        var report: DeliveryReport
        var state: WebhookDelivery.State
        var dueAt: Date?
        var status: Int?
        var code: String?
        /// The endpoint is well; it is not; or this says nothing about it.
        var isSuccess: Bool?
        var endedAt: Date
        /// How long the endpoint asked to be left alone.
        var wait: TimeInterval?
    }

    func commit(_ reports: [DeliveryReport]) async throws -> [Result<Void, any Error>] {
        let entries = reports.map(entry).sorted { Self.order($0.report.delivery, $1.report.delivery) }
        try await database.transaction(Databases.accounts(entries.map(\.report.delivery.account)), deadline: .seconds(30)) { transaction in
            let troubled = try await writeEndpoints(entries, in: transaction)
            try await writeDeliveries(entries, in: transaction)
            try await tell(troubled, in: transaction)
        }
        return reports.map { _ in .success(()) }
    }

    private static func order(_ left: ClaimedDelivery, _ right: ClaimedDelivery) -> Bool {
        if left.account != right.account { return left.account < right.account }
        if left.endpoint != right.endpoint { return left.endpoint < right.endpoint }
        return left.event < right.event
    }

    // MARK: Rules

    private func entry(_ report: DeliveryReport) -> Entry {
        let delivery = report.delivery
        let endedAt = report.startedAt.addingTimeInterval(report.duration / .seconds(1))
        var entry = Entry(report: report, state: .pending, endedAt: endedAt)
        switch report.ending {
        case .released:
            entry.dueAt = endedAt
            return entry
        case .answered(let status, _, let hasChallenge) where (200...299).contains(status):
            entry.status = status
            entry.isSuccess = hasChallenge
            entry.code = hasChallenge ? nil : "challenge_missing"
            if hasChallenge { entry.state = .delivered }
        case .answered(let status, let wait, _):
            entry.status = status
            entry.isSuccess = false
            if status == 410 {
                entry.code = WebhookEndpoint.DisabledReason.gone.rawValue
                entry.state = .dead
            }
            if status == 429 || status == 503 { entry.wait = wait.map { min($0, WebhookSchedule.longestWait) } }
        case .failed(let code):
            entry.isSuccess = false
            entry.code = code
        }
        guard entry.state == .pending else { return entry }
        var asked: TimeInterval?
        if case .answered(_, let wait, _) = report.ending { asked = wait }
        let delay = WebhookSchedule.delay(
            afterTry: delivery.tries, isVerification: delivery.challenge != nil, asked: asked, random: random)
        entry.dueAt = delay.map { endedAt.addingTimeInterval($0) }
        if delay == nil { entry.state = .dead }
        return entry
    }

    // MARK: Endpoints

    /// An endpoint whose account may have to be told of it.
    private struct Troubled {
        var place: EndpointPlace
        var isTest: Bool
        var state: String
        var failingSince: Date?
        var notices: Int
        var reason: WebhookEndpoint.DisabledReason?
        var now: Date
    }

    private func writeEndpoints(_ entries: [Entry], in transaction: Transaction) async throws -> [Troubled] {
        let byPlace = Dictionary(grouping: entries.filter { $0.isSuccess != nil }) {
            EndpointPlace(account: $0.report.delivery.account, endpoint: $0.report.delivery.endpoint)
        }
        var troubled: [Troubled] = []
        for (place, group) in byPlace.sorted(by: { ($0.key.account, $0.key.endpoint) < ($1.key.account, $1.key.endpoint) }) {
            if group.contains(where: { $0.isSuccess == true }) {
                try await recover(place, verified: group.first { $0.isSuccess == true && $0.report.delivery.challenge != nil }, in: transaction)
            } else if let trouble = try await fail(place, group, in: transaction) {
                troubled.append(trouble)
            }
        }
        return troubled
    }

    private func recover(_ place: EndpointPlace, verified: Entry?, in transaction: Transaction) async throws {
        _ = try await transaction.execute(
            "webhooks.recovered",
            """
            UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, notices = 0, paused_until = '-infinity'
            WHERE account_id = \(place.account) AND endpoint_id = \(place.endpoint) AND failures > 0
            """)
        guard let verified else { return }
        _ = try await transaction.execute(
            "webhooks.verified",
            """
            UPDATE webhook_endpoints SET state = 'enabled'
            WHERE account_id = \(place.account) AND endpoint_id = \(place.endpoint) AND state = 'verifying'
              AND verification_id = \(verified.report.delivery.event)
            """)
    }

    private func fail(_ place: EndpointPlace, _ group: [Entry], in transaction: Transaction) async throws -> Troubled? {
        let now = group.map(\.endedAt).max() ?? .distantPast
        let began = group.map(\.endedAt).min() ?? now
        let found = try await transaction.queryOne(
            "webhooks.lockFailing",
            """
            SELECT test, state, failures, failing_since, notices, verification_id, paused_until
            FROM webhook_endpoints
            WHERE account_id = \(place.account) AND endpoint_id = \(place.endpoint)
            FOR NO KEY UPDATE
            """
        ) { row in
            (
                trouble: Troubled(
                    place: place, isTest: try row["test"], state: try row["state"], failingSince: try row["failing_since"],
                    notices: try row["notices"], now: now),
                failures: try row.column("failures", as: Int.self), verification: try row.column("verification_id", as: Event.ID?.self)
            )
        }
        guard let found, found.trouble.state == "enabled" || found.trouble.state == "verifying" else { return nil }
        var trouble = found.trouble
        let failures = min(found.failures + group.count, 1_000_000)
        let since = trouble.failingSince ?? began
        let pause = max(WebhookSchedule.pause(failures: failures), group.compactMap(\.wait).max() ?? 0)
        let pausedUntil = pause > 0 ? now.addingTimeInterval(pause) : Date.distantPast
        _ = try await transaction.execute(
            "webhooks.failed",
            """
            UPDATE webhook_endpoints
            SET failures = \(Int32(failures)), failing_since = \(since), paused_until = greatest(paused_until, \(pausedUntil))
            WHERE account_id = \(place.account) AND endpoint_id = \(place.endpoint)
            """)
        trouble.failingSince = since
        let isUnverified = group.contains {
            $0.report.delivery.challenge != nil && $0.state == .dead && $0.report.delivery.event == found.verification
        }
        if group.contains(where: { $0.status == 410 }) {
            trouble.reason = .gone
        } else if isUnverified, trouble.state == "verifying" {
            trouble.reason = .unverified
        } else if trouble.state == "enabled", now.timeIntervalSince(since) >= WebhookSchedule.disabledAfter {
            trouble.reason = .failing
        }
        return trouble
    }

    /// Disables, and tells the account: of that, and of an endpoint that has failed for long.
    private func tell(_ troubled: [Troubled], in transaction: Transaction) async throws {
        for trouble in troubled {
            let place = trouble.place
            if let reason = trouble.reason {
                _ = try await transaction.execute(
                    "webhooks.giveUp",
                    """
                    UPDATE webhook_endpoints
                    SET state = 'disabled', disabled_reason = \(reason.rawValue), failures = 0, failing_since = NULL, notices = 0, paused_until = '-infinity'
                    WHERE account_id = \(place.account) AND endpoint_id = \(place.endpoint)
                    """)
                try await publish(.endpointDisabled, reason.rawValue, trouble, in: transaction)
                continue
            }
            guard trouble.state == "enabled", let since = trouble.failingSince else { continue }
            let notices = WebhookSchedule.noticesAfter.count { $0 <= trouble.now.timeIntervalSince(since) }
            guard notices > trouble.notices else { continue }
            _ = try await transaction.execute(
                "webhooks.noticed",
                """
                UPDATE webhook_endpoints SET notices = \(Int16(notices)) WHERE account_id = \(place.account) AND endpoint_id = \(place.endpoint)
                """)
            try await publish(.endpointFailing, nil, trouble, in: transaction)
        }
    }

    private func publish(_ type: EventType, _ code: String?, _ trouble: Troubled, in transaction: Transaction) async throws {
        let event = Event.ID.make(at: trouble.now, random: random)
        _ = try await transaction.query(
            "webhooks.publish",
            """
            SELECT gateway_publish(\(trouble.place.account), \(event), \(type.rawValue), \(trouble.isTest), NULL, \(trouble.place.endpoint),
                \(code as String?), \(trouble.now))
            """, as: { _ in })
    }

    // MARK: Deliveries

    private func writeDeliveries(_ entries: [Entry], in transaction: Transaction) async throws {
        let accounts = entries.map(\.report.delivery.account)
        let endpoints = entries.map(\.report.delivery.endpoint)
        let events = entries.map(\.report.delivery.event)
        let attempts = entries.map { Int32(clamping: $0.report.delivery.attempt) }
        let statuses = entries.map { Int16(clamping: $0.status ?? 0) }
        let codes = entries.map { $0.code ?? "" }
        let tried = entries.map { $0.isSuccess != nil }
        // A row that is gone takes no attempt: its endpoint was deleted, or its account closed.
        _ = try await transaction.execute(
            "webhooks.attempted",
            """
            INSERT INTO webhook_attempts (account_id, endpoint_id, event_id, attempt, at, duration_ms, status, code)
            SELECT q.account_id, q.endpoint_id, q.event_id, r.attempt, r.at, r.duration, nullif(r.status, 0), nullif(r.code, '')
            FROM unnest(\(accounts), \(endpoints), \(events), \(attempts), \(entries.map(\.report.startedAt)),
                \(entries.map { Int32(clamping: Int(($0.report.duration / .milliseconds(1)).rounded())) }), \(statuses), \(codes), \(tried))
                AS r (account_id, endpoint_id, event_id, attempt, at, duration, status, code, tried)
            JOIN event_queue q ON q.account_id = r.account_id AND q.endpoint_id = r.endpoint_id AND q.event_id = r.event_id
            WHERE r.tried
            ON CONFLICT (account_id, endpoint_id, event_id, attempt) DO NOTHING
            """)
        _ = try await transaction.execute(
            "webhooks.recorded",
            """
            UPDATE event_queue q
            SET state = r.state, claimed = false, due_at = coalesce(r.due_at, q.due_at), status = CASE WHEN r.tried THEN nullif(r.status, 0) ELSE q.status END,
                code = CASE WHEN r.tried THEN nullif(r.code, '') ELSE q.code END, tries = q.tries - CASE WHEN r.tried THEN 0 ELSE 1 END,
                finished_at = CASE WHEN r.state <> 'pending' THEN r.ended_at END
            FROM unnest(\(accounts), \(endpoints), \(events), \(attempts), \(entries.map(\.state.rawValue)), \(entries.map(\.dueAt)), \(statuses), \(codes),
                \(tried), \(entries.map(\.endedAt)))
                AS r (account_id, endpoint_id, event_id, attempt, state, due_at, status, code, tried, ended_at)
            WHERE q.account_id = r.account_id AND q.endpoint_id = r.endpoint_id AND q.event_id = r.event_id AND q.state = 'pending'
              AND (q.attempts = r.attempt OR r.state = 'delivered')
            """)
    }
}
