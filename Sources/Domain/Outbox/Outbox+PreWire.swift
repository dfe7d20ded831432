package import Foundation
package import Postgres

/// One message whose bytes are about to leave, with the writes that must be durable before they do.
struct PreWireRequest: Sendable {
    let message: ClaimedMessage
    let owner: OwnedSender
    let now: Date
    let writes: [Statement]
}

extension Outbox {
    /// Commits the ratchet's new state together with `on_wire`; when it returns, the bytes may leave. `writes` run in the same transaction, which
    /// is shared with other messages that are at this point in the same moment; the lease's epoch is held until its end, so they need no fence.
    /// - Throws: `PreWireRefusal`, or `DatabaseError`: nothing was committed then and nothing may leave (after `commitUnknown` it may have been
    ///   committed, which costs one attempt and nothing else).
    package func preWire(_ message: ClaimedMessage, owner: OwnedSender, now: Date, writes: [Statement]) async throws {
        try await preWires.submit(PreWireRequest(message: message, owner: owner, now: now, writes: writes))
    }

    /// All in one transaction, two round trips. A refused message takes its own writes with it and nobody else's; one whose writes fail makes
    /// the group commit try the others without it.
    static func commit(_ requests: [PreWireRequest], in engine: Database) async throws -> [Result<Void, any Error>] {
        try await engine.transaction(Databases.accounts(requests.map(\.owner.account))) { transaction in
            let moved = Set(
                try await transaction.query("outbox.preWire", statement(requests), as: { try $0.column("message_id", as: Message.ID.self) }))
            var results: [Result<Void, any Error>] = []
            for request in requests {
                if moved.contains(request.message.id) {
                    results.append(.success(()))
                } else {
                    results.append(.failure(try await refusal(request, in: transaction)))
                }
            }
            let writes = requests.filter { moved.contains($0.message.id) }.flatMap(\.writes)
            if !writes.isEmpty { _ = try await transaction.commit(with: writes) }
            return results
        }
    }

    private static func statement(_ requests: [PreWireRequest]) -> SQL {
        """
        WITH input AS (
            SELECT i.account_id, i.sender_id, i.epoch, i.message_id, i.again, i.attempts, i.moment
            FROM unnest(\(requests.map(\.owner.account)), \(requests.map(\.owner.sender)), \(requests.map(\.owner.epoch)),
                \(requests.map(\.message.id)), \(requests.map(\.message.onWireBefore)), \(requests.map { Int32(clamping: $0.message.attempt) }),
                \(requests.map(\.now))) AS i (account_id, sender_id, epoch, message_id, again, attempts, moment)
        ),
        \(held),
        moved AS (
            UPDATE outbox b
            SET state = 'on_wire', attempts = b.attempts + 1, claims = 0, wire_at = i.moment,
                deadline = i.moment + make_interval(secs => \(acknowledgementLimit))
            FROM input i
            JOIN held ON held.account_id = i.account_id AND held.sender_id = i.sender_id AND held.epoch = i.epoch
            WHERE b.account_id = i.account_id AND b.message_id = i.message_id AND b.sender_id = i.sender_id
              AND b.state = CASE WHEN i.again THEN 'on_wire' ELSE 'prepared' END AND b.epoch = i.epoch
              AND b.attempts = i.attempts AND b.expires_at > i.moment
              AND (b.state = 'prepared' OR NOT b.at_most_once AND b.attempts < \(wireLimit))
            RETURNING b.account_id, b.message_id, b.attempts, i.again, i.moment
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
        SELECT message_id FROM moved
        """
    }

    private static func refusal(_ request: PreWireRequest, in transaction: Transaction) async throws -> PreWireRefusal {
        let owner = request.owner
        let found = try await transaction.queryOne(
            "outbox.whyNot",
            """
            SELECT m.state, m.expires_at <= \(request.now) AS expired,
                EXISTS (SELECT FROM sender_leases l
                    WHERE l.account_id = \(owner.account) AND l.sender_id = \(owner.sender) AND l.epoch = \(owner.epoch)) AS held
            FROM messages m
            WHERE m.account_id = \(owner.account) AND m.message_id = \(request.message.id)
            """
        ) { row in
            (
                state: try row.state("state") as MessageState, expired: try row.column("expired", as: Bool.self),
                held: try row.column("held", as: Bool.self)
            )
        }
        guard let found else { return .notPrepared }
        if !found.held { return .lostLease }
        switch found.state {
        case .canceled: return .canceled
        case .expired: return .expired
        default: return found.expired ? .expired : .notPrepared
        }
    }
}
