import Foundation
import Postgres
import Primitives

/// One message whose bytes are about to leave, with what must be durable before they do.
struct PreWireRequest: Sendable {
    let message: ClaimedMessage
    let owner: OwnedSender
    let now: Date
    let device: DeviceWrites?
    /// What is rare: each costs the batch two further round trips.
    let writes: [Statement]

    /// A resend is not held up by limits: its bytes may have left already.
    var isLimited: Bool { message.dispatch.isLimited && !message.onWireBefore }
}

/// Writes what must be durable before the bytes of many messages leave.
struct PreWireBatch: Sendable {
    let database: Database
    /// For the jitter of gaps.
    let random: any RandomSource
    let acknowledgementLimit: TimeInterval
    let isPaced: Bool

    /// All in one transaction: one round trip, three when limits or rare writes are among them. A refused message takes its own writes with it
    /// and nobody else's; one whose writes fail makes the group commit try the others without it.
    func commit(_ requests: [PreWireRequest]) async throws -> [Result<Void, any Error>] {
        let isPlain = requests.allSatisfy { !$0.isLimited && $0.writes.isEmpty }
        Failpoint.hit(.preWireBegin)
        let (moved, postponed): (Set<Message.ID>, Set<Message.ID>) =
            isPlain ? (try await commitPlain(requests), []) : try await commitInSteps(requests)
        var results: [Result<Void, any Error>] = []
        for request in requests {
            if moved.contains(request.message.id) {
                results.append(.success(()))
            } else if postponed.contains(request.message.id) {
                results.append(.failure(PreWireRefusal.overLimit))
            } else {
                results.append(.failure(try await refusal(request)))
            }
        }
        return results
    }

    private func commitPlain(_ requests: [PreWireRequest]) async throws -> Set<Message.ID> {
        Set(
            try await database.query(
                "outbox.preWire", statement(requests), settings: Databases.accounts(requests.map(\.owner.account)),
                as: { try $0.column("message_id", as: Message.ID.self) }))
    }

    /// Limits first, under the locks of their rows; then the messages that may leave; then what only those may write, the debit among it.
    private func commitInSteps(_ requests: [PreWireRequest]) async throws -> (moved: Set<Message.ID>, postponed: Set<Message.ID>) {
        try await database.transaction(Databases.accounts(requests.map(\.owner.account))) { transaction in
            var ledger = try await LimitLedger.load(for: requests.filter(\.isLimited), isPaced: isPaced, in: transaction)
            var leaving: [PreWireRequest] = []
            var postponed: [Postponed] = []
            for request in requests {
                if let until = ledger.wait(for: request) {
                    postponed.append(Postponed(message: request.message.id, owner: request.owner, until: until))
                } else {
                    ledger.debit(request, chance: chance())
                    leaving.append(request)
                }
            }
            var statements = leaving.isEmpty ? [] : [Statement("outbox.preWire", statement(leaving))]
            if !postponed.isEmpty { statements.append(Statement("outbox.postpone", Outbox.postponeStatement(postponed))) }
            let results = try await transaction.pipeline(statements)
            let moved = leaving.isEmpty ? [] : Set(try results[0].rows(as: { try $0.column("message_id", as: Message.ID.self) }))
            let left = leaving.filter { moved.contains($0.message.id) }
            // Only what has left counts.
            if left.count < leaving.count { ledger.debitOnly(left, chance: chance) }
            let writes = left.flatMap(\.writes) + ledger.statements()
            if !writes.isEmpty { _ = try await transaction.commit(with: writes) }
            return (moved, Set(postponed.map(\.message)))
        }
    }

    /// In 0..<1, for the jitter of gaps.
    private func chance() -> Double {
        Double(random.bytes(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }) / 4_294_967_296
    }

    // MARK: The statement

    private func statement(_ requests: [PreWireRequest]) -> SQL {
        let now = requests.map(\.now).max() ?? .distantPast
        let statement: SQL = """
            WITH input AS MATERIALIZED (
                SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.again, i.attempts, i.moment, i.number
                FROM unnest(\(requests.map(\.owner.account)), \(requests.map(\.owner.sender)), \(requests.map(\.owner.epoch)),
                    \(requests.map(\.message.id)), \(requests.map(\.message.onWireBefore)), \(requests.map { Int32(clamping: $0.message.attempt) }),
                    \(requests.map(\.now))) WITH ORDINALITY AS i (account_id, sender_id, epoch, message_id, again, attempts, moment, number)
            ),
            \(Outbox.held),
            moved AS (
                UPDATE outbox b
                SET state = 'on_wire', attempts = b.attempts + 1, claims = 0, wire_at = i.moment,
                    deadline = i.moment + make_interval(secs => \(acknowledgementLimit))
                FROM mine i
                WHERE b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id
                  AND b.state = CASE WHEN i.again THEN 'on_wire' ELSE 'prepared' END AND b.epoch = i.epoch
                  AND b.attempts = i.attempts AND b.expires_at > i.moment
                  AND (b.state = 'prepared' OR NOT b.at_most_once AND b.attempts < \(Outbox.wireLimit))
                  AND NOT EXISTS (
                    SELECT FROM sender_health h WHERE h.account_id = i.account_id AND h.sender_id = i.sender_id AND h.paused_until > \(now)
                  )
                RETURNING b.account_id, b.message_id, b.sender_id, b.wire_id, b.attempts, i.again, i.moment, i.number
            ),
            named AS (
                INSERT INTO wire_ids (account_id, sender_id, wire_id, message_id)
                SELECT account_id, sender_id, wire_id, message_id
                FROM moved
                WHERE NOT again AND NOT EXISTS (
                    SELECT FROM wire_ids w
                    WHERE w.account_id = moved.account_id AND w.sender_id = moved.sender_id AND w.wire_id = moved.wire_id
                      AND w.message_id = moved.message_id)
            ),
            mirrored AS (
                UPDATE messages m
                SET state = 'on_wire', attempts = moved.attempts, wire_at = moved.moment, events = m.events + (NOT moved.again)::int
                FROM moved
                WHERE m.account_id = moved.account_id AND m.message_id = moved.message_id
                RETURNING m.account_id, m.message_id, m.events, moved.again, moved.moment
            ),
            told AS (
                INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
                SELECT account_id, message_id, events, gateway_uuid7(moment), 'sending', moment
                FROM mirrored
                WHERE NOT again
            )
            """
        return statement + Self.records("signal_sessions", requests, \.sessions) + Self.records("signal_identities", requests, \.identities)
            + Self.plaintexts(requests) + Self.greetings(requests) + " SELECT message_id FROM moved"
    }

    /// Signal records of the messages that leave. Where several write the same one, the latest of those that leave stands; nothing replaces a later
    /// one that is there already.
    private static func records(_ table: String, _ requests: [PreWireRequest], _ part: (DeviceWrites) -> [DeviceWrites.Row]) -> SQL {
        let rows = requests.enumerated().flatMap { index, request in (request.device.map(part) ?? []).map { (number: index + 1, row: $0) } }
        guard !rows.isEmpty else { return "" }
        return """
            ,
            \(unescaped: table)_written AS (
                INSERT INTO \(unescaped: table) AS r (account_id, sender_id, address_index, user_index, sealed, revision, updated_at)
                SELECT DISTINCT ON (moved.account_id, moved.sender_id, w.address_index)
                    moved.account_id, moved.sender_id, w.address_index, w.user_index, w.sealed, w.revision, moved.moment
                FROM unnest(\(rows.map(\.number)), \(rows.map(\.row.address)), \(rows.map(\.row.user)), \(rows.map(\.row.sealed)),
                    \(rows.map(\.row.revision))) AS w (number, address_index, user_index, sealed, revision)
                JOIN moved ON moved.number = w.number
                ORDER BY moved.account_id, moved.sender_id, w.address_index, w.revision DESC
                ON CONFLICT (account_id, sender_id, address_index) DO UPDATE
                SET sealed = excluded.sealed, revision = excluded.revision, updated_at = excluded.updated_at
                WHERE r.revision < excluded.revision
            )
            """
    }

    private static func plaintexts(_ requests: [PreWireRequest]) -> SQL {
        let rows = requests.enumerated().compactMap { index, request in request.device?.sentMessage.map { (number: index + 1, sealed: $0) } }
        guard !rows.isEmpty else { return "" }
        return """
            ,
            plaintexts AS (
                INSERT INTO sent_messages (account_id, message_id, sender_id, sealed)
                SELECT moved.account_id, moved.message_id, moved.sender_id, w.sealed
                FROM unnest(\(rows.map(\.number)), \(rows.map(\.sealed))) AS w (number, sealed)
                JOIN moved ON moved.number = w.number
                ON CONFLICT (account_id, message_id, sender_id) DO UPDATE
                SET sealed = excluded.sealed
            )
            """
    }

    /// The sender has written to them now. The day of the last message is enough; the rows of warm recipients rest meanwhile.
    private static func greetings(_ requests: [PreWireRequest]) -> SQL {
        let rows = requests.enumerated().compactMap { index, request in
            request.message.dispatch.isGreetingDue ? (number: index + 1, recipient: request.message.dispatch.recipientIndex) : nil
        }
        guard !rows.isEmpty else { return "" }
        return """
            ,
            greeted AS (
                INSERT INTO sender_recipients AS r (account_id, recipient_index, sender_id, first_at, last_at)
                SELECT moved.account_id, w.recipient_index, moved.sender_id, min(moved.moment), min(moved.moment)
                FROM unnest(\(rows.map(\.number)), \(rows.map(\.recipient))) AS w (number, recipient_index)
                JOIN moved ON moved.number = w.number
                GROUP BY moved.account_id, w.recipient_index, moved.sender_id
                ORDER BY moved.account_id, w.recipient_index, moved.sender_id
                ON CONFLICT (account_id, recipient_index, sender_id) DO UPDATE
                SET last_at = excluded.last_at
                WHERE r.last_at < excluded.last_at - interval '1 day'
            )
            """
    }

    // MARK: Refusals

    private func refusal(_ request: PreWireRequest) async throws -> PreWireRefusal {
        let owner = request.owner
        let found = try await database.queryOne(
            "outbox.whyNot",
            """
            SELECT m.state, m.expires_at <= \(request.now) AS expired,
                EXISTS (SELECT FROM sender_leases l
                    WHERE l.account_id = \(owner.account) AND l.sender_id = \(owner.sender) AND l.epoch = \(owner.epoch)) AS held,
                (SELECT h.paused_until FROM sender_health h
                    WHERE h.account_id = \(owner.account) AND h.sender_id = \(owner.sender) AND h.paused_until > \(request.now)) AS paused_until
            FROM messages m
            WHERE m.account_id = \(owner.account) AND m.message_id = \(request.message.id)
            """, settings: Databases.accounts([owner.account]), access: .readOnly
        ) { row in
            (
                state: try row.state("state") as MessageState, expired: try row.column("expired", as: Bool.self),
                held: try row.column("held", as: Bool.self), pausedUntil: try row.column("paused_until", as: Date?.self)
            )
        }
        guard let found else { return .notPrepared }
        if !found.held { return .lostLease }
        switch found.state {
        case .canceled: return .canceled
        case .expired: return .expired
        default: break
        }
        if found.expired { return .expired }
        guard let pausedUntil = found.pausedUntil else { return .notPrepared }
        let postponed = Postponed(message: request.message.id, owner: owner, until: pausedUntil)
        try await database.execute("outbox.postpone", Outbox.postponeStatement([postponed]), settings: Databases.accounts([owner.account]))
        return .overLimit
    }
}
