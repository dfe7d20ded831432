package import Foundation
import Postgres
import Primitives
import Secrets

/// The events of an account in an order that never changes: what webhooks push can be pulled here, and pushed again.
package struct EventLog: Sendable {
    /// How long events are kept, in seconds.
    package static let lifetime: TimeInterval = 30 * 86_400
    /// Ids that one replay may name.
    package static let idLimit = 1_000
    /// Events that one replay takes at most.
    package static let replayLimit = 5_000
    private static let placedAtOnce = 2_000

    let databases: Databases
    let keys: AccountKeys
    let random: any RandomSource

    /// Which events.
    package struct Filter: Sendable {
        package var types: [EventType]?
        /// Only those of test things, or only the others.
        package var isTest: Bool?

        package init(types: [EventType]? = nil, isTest: Bool? = nil) {
            self.types = types
            self.isTest = isTest
        }

        /// Adds what it asks of `events v`.
        fileprivate func restrict(_ sql: inout SQL) {
            if let types { sql.append(" AND v.type = ANY (\(types.map(\.rawValue)))") }
            if let isTest { sql.append(" AND v.test = \(isTest)") }
        }
    }

    package struct Pulled: Sendable {
        package let events: [EventPayload]
        /// Where to go on, also when there was nothing.
        package let next: String
        package let hasMore: Bool
    }

    /// A text that is no cursor of this account's.
    package struct InvalidCursor: Error, Sendable, Equatable {}

    // MARK: Pull

    /// Events after a cursor, oldest first; without one, from the oldest that is kept. Asking makes the account one whose events are kept.
    ///
    /// Nothing is left out and nothing comes twice, however many writers commit meanwhile and in whatever order: an event gets its place in the log when
    /// it is first read, behind everything that was read before.
    /// - Throws: `InvalidCursor`.
    package func pull(
        account: Account.ID, after cursor: String? = nil, _ filter: Filter = Filter(), limit: Int = 50, now: Date
    ) async throws -> Pulled {
        let limit = min(200, max(1, limit))
        let sealer = try await keys.sealer(for: account)
        let from = try cursor.map { try EventCursor($0, sealer) } ?? EventCursor(place: 0)
        let oldest = now.addingTimeInterval(-Self.lifetime)
        try await place(account, from: oldest, now: now)
        var sql: SQL = """
            SELECT \(SealedEventRecord.columns), v.place
            FROM events v
            LEFT JOIN messages m ON m.account_id = v.account_id AND m.message_id = v.message_id
            WHERE v.account_id = \(account) AND v.place > \(from.place) AND v.at > \(oldest)
            """
        filter.restrict(&sql)
        sql.append(" ORDER BY v.place LIMIT \(limit + 1)")
        let rows = try await databases.api.query("events.pull", sql, settings: Databases.accounts([account]), access: .readOnly) { row in
            (payload: try SealedEventRecord(row).opened(sealer).payload, cursor: EventCursor(place: try row["place"]))
        }
        let shown = rows.prefix(limit)
        return Pulled(events: shown.map(\.payload), next: (shown.last?.cursor ?? from).sealed(sealer), hasMore: rows.count > limit)
    }

    /// The account's events are kept from now on.
    static func subscription(_ account: Account.ID, now: Date) -> Statement {
        Statement(
            "events.subscribe",
            """
            INSERT INTO event_subscribers AS known (account_id, asked_at, last_place)
            VALUES (\(account), \(now), \(Int(now.timeIntervalSince1970 * 1_000_000)))
            ON CONFLICT (account_id) DO UPDATE SET asked_at = excluded.asked_at WHERE known.asked_at <= \(now.addingTimeInterval(-3_600))
            """)
    }

    /// Gives a place to what has none yet, all of it; a page at a time would let a filter's reader believe that there is no more.
    private func place(_ account: Account.ID, from oldest: Date, now: Date) async throws {
        let found = try await databases.api.queryOne(
            "events.unplaced",
            """
            SELECT EXISTS (SELECT FROM events v WHERE v.account_id = \(account) AND v.place IS NULL AND v.at > \(oldest)) AS unplaced,
                EXISTS (SELECT FROM event_subscribers s
                    WHERE s.account_id = \(account) AND s.asked_at > \(now.addingTimeInterval(-3_600))) AS subscribed
            """, settings: Databases.accounts([account]), access: .readOnly
        ) { (unplaced: try $0.column("unplaced", as: Bool.self), subscribed: try $0.column("subscribed", as: Bool.self)) }
        guard found?.unplaced == true || found?.subscribed == false else { return }
        var placed: Int
        repeat {
            placed = try await databases.api.transaction(Databases.accounts([account])) { transaction in
                _ = try await transaction.pipeline([Self.subscription(account, now: now)])
                // One reader at a time; the next statement sees what has been committed until it has the lock.
                _ = try await transaction.query(
                    "events.lockPlaces", "SELECT last_place FROM event_subscribers WHERE account_id = \(account) FOR UPDATE", as: { _ in })
                let placed = try await transaction.lastQuery(
                    "events.place",
                    """
                    WITH unplaced AS MATERIALIZED (
                        SELECT u.event_id, row_number() OVER (ORDER BY u.written) AS step
                        FROM (SELECT v.event_id, v.written FROM events v WHERE v.account_id = \(account) AND v.place IS NULL AND v.at > \(oldest)
                            ORDER BY v.written LIMIT \(Self.placedAtOnce)) AS u
                    ),
                    placed AS (
                        UPDATE events v SET place = s.last_place + u.step
                        FROM unplaced u, event_subscribers s
                        WHERE v.account_id = \(account) AND v.event_id = u.event_id AND s.account_id = \(account)
                    )
                    UPDATE event_subscribers s SET last_place = s.last_place + (SELECT count(*) FROM unplaced)
                    WHERE s.account_id = \(account)
                    RETURNING (SELECT count(*) FROM unplaced) AS placed
                    """, as: { try $0.column("placed", as: Int.self) })
                return placed.first ?? 0
            }
        } while placed >= Self.placedAtOnce
    }

    // MARK: Replay

    /// What is to be pushed again.
    package enum Selection: Sendable {
        case ids([Event.ID])
        /// By the time at which the gateway learned of them; from the first on, before the second. `after`: where an earlier replay ended.
        case range(from: Date, before: Date, after: Event.ID?)
    }

    package struct Replay: Sendable {
        /// Deliveries that are due now.
        package let queued: Int
        /// There are more events in the range; go on after this one.
        package let next: Event.ID?
        package let replayed: Bool
    }

    /// Makes deliveries due again, with their own ids, whatever became of them before: to `endpoint`, or to every enabled one that wants them. At most
    /// 5,000 events at a time, oldest first. Under a known idempotency key the first answer is given again, and nothing is queued.
    package func replay(
        account: Account.ID, _ selection: Selection, _ filter: Filter = Filter(), endpoint: WebhookEndpoint.ID? = nil,
        idempotencyKey: IdempotencyKey? = nil, now: Date
    ) async throws -> Replay {
        let sealer = try await keys.sealer(for: account)
        let id = UUIDv7.make(at: now, random: random)
        let claim = idempotencyKey.map {
            IdempotencyClaim(
                $0,
                request: ["POST /v1/events/replay", "\(endpoint?.description ?? "*")"] + selection.meaning + (filter.types?.map(\.rawValue) ?? ["*"]),
                account: account, sealer: sealer)
        }
        return try await databases.api.transaction(
            Databases.accounts([account]) + [IdempotencyClaim.patience], deadline: .seconds(30)
        ) { transaction in
            if let earlier = try await claim?.take(for: id, in: transaction, now: now) {
                let answer = try await transaction.queryOne(
                    "events.replayed", "SELECT queued, next_event FROM event_replays WHERE account_id = \(account) AND replay_id = \(earlier)"
                ) { Replay(queued: try $0["queued"], next: try $0["next_event"], replayed: true) }
                return answer ?? Replay(queued: 0, next: nil, replayed: true)
            }
            let picked = try await transaction.query("events.pick", pick(selection, filter, account, now: now)) {
                try $0.column("event_id", as: Event.ID.self)
            }
            let taken = Array(picked.prefix(Self.replayLimit))
            let queued = try await transaction.execute("events.requeue", Self.requeue(taken, endpoint, account, now: now))
            let next = picked.count > Self.replayLimit ? taken.last : nil
            try await transaction.lastStatement(
                "events.recordReplay",
                """
                INSERT INTO event_replays (account_id, replay_id, queued, next_event, created_at)
                VALUES (\(account), \(id), \(Int32(clamping: queued)), \(next as Event.ID?), \(now))
                """)
            return Replay(queued: queued, next: next, replayed: false)
        }
    }

    private func pick(_ selection: Selection, _ filter: Filter, _ account: Account.ID, now: Date) -> SQL {
        var sql: SQL = "SELECT v.event_id FROM events v WHERE v.account_id = \(account) AND v.at > \(now.addingTimeInterval(-Self.lifetime))"
        switch selection {
        case .ids(let ids): sql.append(" AND v.event_id = ANY (\(ids))")
        case .range(let from, let before, let after):
            sql.append(" AND v.event_id >= \(UUIDv7.lowest(at: from)) AND v.event_id < \(UUIDv7.lowest(at: before))")
            if let after { sql.append(" AND v.event_id > \(after)") }
        }
        filter.restrict(&sql)
        sql.append(" ORDER BY v.event_id LIMIT \(Self.replayLimit + 1)")
        return sql
    }

    /// What is being sent at this moment stays as it is.
    private static func requeue(_ events: [Event.ID], _ endpoint: WebhookEndpoint.ID?, _ account: Account.ID, now: Date) -> SQL {
        """
        INSERT INTO event_queue AS known (account_id, endpoint_id, event_id, type, due_at, created_at)
        SELECT v.account_id, e.endpoint_id, v.event_id, v.type, \(now), \(now)
        FROM unnest(\(events)) AS wanted (event_id)
        JOIN events v ON v.account_id = \(account) AND v.event_id = wanted.event_id
        JOIN webhook_endpoints e ON e.account_id = v.account_id AND (\(endpoint as WebhookEndpoint.ID?)::uuid IS NULL OR e.endpoint_id = \(endpoint as WebhookEndpoint.ID?))
        WHERE e.state = 'enabled' AND e.test = v.test AND (e.types IS NULL OR v.type = ANY (e.types))
        ORDER BY e.endpoint_id, v.event_id
        ON CONFLICT (account_id, endpoint_id, event_id) DO UPDATE
        SET state = 'pending', due_at = excluded.due_at, created_at = excluded.created_at, tries = 0, finished_at = NULL, code = NULL
        WHERE NOT known.claimed
        """
    }
}

extension EventLog.Selection {
    fileprivate var meaning: [String] {
        switch self {
        case .ids(let ids): ["ids"] + ids.map(\.description)
        case .range(let from, let before, let after):
            ["range", "\(from.timeIntervalSince1970)", "\(before.timeIntervalSince1970)", after?.description ?? ""]
        }
    }
}

/// A place in the log, in a client's hands: sealed, so that it opens for its account alone.
private struct EventCursor {
    let place: Int

    init(place: Int) { self.place = place }

    init(_ text: String, _ sealer: Sealer) throws(EventLog.InvalidCursor) {
        guard text.utf8.count <= 128, let sealed = Base64URL.decode(text), let bytes = try? sealer.open(sealed, .eventCursor), bytes.count == 8
        else { throw EventLog.InvalidCursor() }
        place = Int(truncatingIfNeeded: bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    func sealed(_ sealer: Sealer) -> String {
        let bytes = withUnsafeBytes(of: UInt64(bitPattern: Int64(place)).bigEndian) { [UInt8]($0) }
        return Base64URL.encode(sealer.seal(bytes, .eventCursor))
    }
}

/// A row of the log as it is read, still sealed: what a message was given to be known by opens under its account's key.
struct SealedEventRecord: Sendable {
    private let record: EventRecord
    private let reference: [UInt8]?
    private let metadata: [UInt8]?

    /// Of `events v` and, as far as there is one, `messages m`.
    static let columns: SQL = """
        v.event_id, v.type, v.at, v.test, v.message_id, v.number, v.sender_id, v.endpoint_id, v.code, m.reference_sealed, m.metadata_sealed
        """

    init(_ row: RowReader) throws {
        record = EventRecord(
            id: try row["event_id"], type: try row["type"], at: try row["at"], isTest: try row["test"], message: try row["message_id"],
            number: try row["number"], sender: try row["sender_id"], endpoint: try row["endpoint_id"], code: try row["code"])
        reference = try row["reference_sealed"]
        metadata = try row["metadata_sealed"]
    }

    func opened(_ sealer: Sealer) throws -> EventRecord {
        var record = record
        guard let message = record.message else { return record }
        record.reference = try reference.map { try sealer.openText($0, .reference(message)) }
        record.metadata = try metadata.map { try Metadata.decode(sealer.open($0, .metadata(message))) }
        return record
    }
}
