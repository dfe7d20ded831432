package import Foundation
import Postgres
import Secrets

extension Webhooks {
    /// How many endpoints one look takes in.
    package static let lookLimit = 500

    /// The endpoints that have something due, in a fixed order after `position`, which moves on; at the end it begins anew. One look costs the same
    /// however much waits at an endpoint.
    package func due(from position: inout EndpointPlace?, now: Date) async throws -> [EndpointPlace] {
        let lowest = UUID(bytes: [])
        let after = position ?? EndpointPlace(account: Account.ID(lowest), endpoint: WebhookEndpoint.ID(lowest))
        let seen = try await databases.engine.query(
            "webhooks.due",
            """
            SELECT account_id, endpoint_id, ready
            FROM gateway_due_endpoints(\(after.account), \(after.endpoint), \(now), \(Int32(Self.lookLimit)))
            """
        ) {
            (
                place: EndpointPlace(account: try $0["account_id"], endpoint: try $0["endpoint_id"]),
                isReady: try $0.column("ready", as: Bool.self)
            )
        }
        position = seen.count < Self.lookLimit ? nil : seen.last?.place
        return seen.filter(\.isReady).map(\.place)
    }

    /// Takes what is due at these endpoints, the longest waiting first: at most `most` each, fewer where nodes are already sending up to
    /// `concurrency`, and one at a time where an endpoint keeps failing. Until `deadline` they are this node's.
    package func claim(_ wanted: [(place: EndpointPlace, most: Int)], concurrency: Int, now: Date, deadline: Date) async throws -> [ClaimedDelivery] {
        guard !wanted.isEmpty else { return [] }
        let rows = try await databases.engine.transaction(Databases.accounts(wanted.map(\.place.account))) { transaction in
            // One claimer of an endpoint at a time. In a statement of its own: what the next one counts must have been committed before it begins.
            let locked = try await transaction.query(
                "webhooks.lockDue",
                """
                SELECT e.account_id, e.endpoint_id, w.most,
                    CASE WHEN e.failures >= \(Int32(WebhookSchedule.breakerFailures)) THEN 1 ELSE \(Int32(clamping: concurrency)) END AS lanes
                FROM unnest(\(wanted.map(\.place.account)), \(wanted.map(\.place.endpoint)), \(wanted.map { Int32(clamping: $0.most) }))
                    AS w (account_id, endpoint_id, most)
                JOIN webhook_endpoints e ON e.account_id = w.account_id AND e.endpoint_id = w.endpoint_id
                WHERE e.state IN ('verifying', 'enabled') AND e.paused_until <= \(now)
                ORDER BY e.account_id, e.endpoint_id
                FOR NO KEY UPDATE OF e SKIP LOCKED
                """
            ) {
                (
                    account: try $0.column("account_id", as: Account.ID.self), endpoint: try $0.column("endpoint_id", as: WebhookEndpoint.ID.self),
                    most: try $0.column("most", as: Int32.self), lanes: try $0.column("lanes", as: Int32.self)
                )
            }
            guard !locked.isEmpty else { return [DeliveryRow]() }
            return try await transaction.lastQuery(
                "webhooks.claim", Self.claim(locked, now: now, deadline: deadline), as: DeliveryRow.init(row:))
        }
        var claimed: [ClaimedDelivery] = []
        for row in rows {
            // An account that closed meanwhile: its rows are erased.
            guard let sealer = try await sealer(for: row.place.account) else { continue }
            // One row that cannot be opened stops no other; it is dead after a week.
            do { claimed.append(try row.delivery(sealer)) } catch is SecretsFailure {}
        }
        return claimed
    }

    private static func claim(
        _ locked: [(account: Account.ID, endpoint: WebhookEndpoint.ID, most: Int32, lanes: Int32)], now: Date, deadline: Date
    ) -> SQL {
        """
        WITH locked AS MATERIALIZED (
            SELECT w.account_id, w.endpoint_id, w.most, w.lanes, e.state
            FROM unnest(\(locked.map(\.account)), \(locked.map(\.endpoint)), \(locked.map(\.most)), \(locked.map(\.lanes)))
                AS w (account_id, endpoint_id, most, lanes)
            JOIN webhook_endpoints e ON e.account_id = w.account_id AND e.endpoint_id = w.endpoint_id
        ),
        room AS MATERIALIZED (
            SELECT l.account_id, l.endpoint_id, l.state, least(l.most, l.lanes - (
                SELECT count(*) FROM event_queue c
                WHERE c.account_id = l.account_id AND c.endpoint_id = l.endpoint_id AND c.claimed AND c.due_at > \(now))) AS free
            FROM locked l
        ),
        due AS MATERIALIZED (
            SELECT q.account_id, q.endpoint_id, q.event_id
            FROM room r
            CROSS JOIN LATERAL (
                SELECT p.account_id, p.endpoint_id, p.event_id
                FROM event_queue p
                WHERE p.account_id = r.account_id AND p.endpoint_id = r.endpoint_id AND p.state = 'pending' AND p.due_at <= \(now)
                  AND (r.state = 'enabled' OR p.type = \(EventType.endpointVerification.rawValue))
                ORDER BY p.due_at
                LIMIT greatest(r.free, 0)
                FOR UPDATE SKIP LOCKED
            ) AS q
        ),
        claimed AS (
            UPDATE event_queue q SET claimed = true, due_at = \(deadline), attempts = q.attempts + 1, tries = q.tries + 1
            FROM due
            WHERE q.account_id = due.account_id AND q.endpoint_id = due.endpoint_id AND q.event_id = due.event_id
            RETURNING q.account_id, q.endpoint_id, q.event_id, q.type, q.attempts, q.tries, q.created_at
        )
        SELECT c.account_id, c.endpoint_id AS target_id, c.event_id AS queued_id, c.type AS queued_type, c.attempts, c.tries, c.created_at, e.signing,
            e.test AS target_test, e.url_sealed, e.secret_sealed, CASE WHEN e.previous_until > \(now) THEN e.previous_sealed END AS previous_sealed,
            CASE WHEN e.include_recipient THEN m.recipient_sealed END AS recipient_sealed, \(SealedEventRecord.columns)
        FROM claimed c
        JOIN webhook_endpoints e ON e.account_id = c.account_id AND e.endpoint_id = c.endpoint_id
        LEFT JOIN events v ON v.account_id = c.account_id AND v.event_id = c.event_id
        LEFT JOIN messages m ON m.account_id = v.account_id AND m.message_id = v.message_id
        ORDER BY c.created_at, c.event_id
        """
    }

    /// Writes down what came of an attempt; returns when it is durable. Late reports of a claim that has passed to another node change nothing, unless they
    /// tell of a success. Many reports share a commit.
    package func record(_ report: DeliveryReport) async throws { try await reports.submit(report) }

    /// Ends what disabled and deleted endpoints have left. Returns how many rows changed; call again while it is many.
    package func settle(now: Date, limit: Int = 5_000) async throws -> Int {
        try await databases.engine.queryOne(
            "webhooks.settle", "SELECT gateway_settle_webhooks(\(now), \(Int32(clamping: limit))) AS changed", deadline: .seconds(60),
            as: { try $0.column("changed", as: Int.self) }) ?? 0
    }

    private func sealer(for account: Account.ID) async throws -> Sealer? {
        do { return try await keys.sealer(for: account) } catch is AccountGone { return nil }
    }
}

/// What a claim reads, still sealed: rows do not outlive the read.
private struct DeliveryRow: Sendable {
    let place: EndpointPlace
    let event: Event.ID
    let type: String
    let attempts: Int
    let tries: Int
    let createdAt: Date
    let isTest: Bool
    let signing: WebhookSecret.Signing
    let url: [UInt8]
    let secret: [UInt8]
    let previous: [UInt8]?
    let recipient: [UInt8]?
    /// nil for what is no part of the log, and for what the log no longer has.
    let record: SealedEventRecord?

    init(row: RowReader) throws {
        place = EndpointPlace(account: try row["account_id"], endpoint: try row["target_id"])
        event = try row["queued_id"]
        type = try row["queued_type"]
        attempts = try row["attempts"]
        tries = try row["tries"]
        createdAt = try row["created_at"]
        isTest = try row["target_test"]
        signing = try row.state("signing")
        url = try row["url_sealed"]
        secret = try row["secret_sealed"]
        previous = try row["previous_sealed"]
        recipient = try row["recipient_sealed"]
        record = try row.column("event_id", as: Event.ID?.self) == nil ? nil : SealedEventRecord(row)
    }

    func delivery(_ sealer: Sealer) throws -> ClaimedDelivery {
        let id = place.endpoint
        var record = try record?.opened(sealer) ?? EventRecord(id: event, type: type, at: createdAt, isTest: isTest, endpoint: id)
        if let message = record.message { record.recipient = try recipient.map { try E164(digits: sealer.openText($0, .recipient(message))) } }
        let secrets = [
            WebhookSecret(signing, copying: try sealer.open(secret, .webhookSecret(id))),
            try previous.flatMap { WebhookSecret(signing, copying: try sealer.open($0, .webhookPrevious(id))) },
        ]
        return ClaimedDelivery(
            account: place.account, endpoint: id, event: event, type: EventType(rawValue: type), url: try sealer.openText(url, .webhookURL(id)),
            secrets: secrets.compactMap(\.self), body: try record.payload.bytes(), attempt: attempts, tries: tries)
    }
}
