package import Foundation
import Postgres
import Primitives
import Secrets

/// What one turn over the scheduled messages did.
package struct Promoted: Sendable, Equatable {
    package var accepted = 0
    package var failed = 0
    /// How many were looked at.
    package var looked = 0

    /// Another turn is due at once while this is not 0. What could not be changed is tried again a second later.
    package var changed: Int { accepted + failed }
}

extension Outbox {
    private static let dueLimit = 500

    /// Scheduled messages that have come due are routed and become `accepted`; one that was not to wait fails when nobody may send it now. Any
    /// node may do it, any number at once: a message is promoted once. Those past their time are the sweep's.
    package func promote(now: Date) async throws -> Promoted {
        let accounts = try await databases.engine.query(
            "outbox.scheduledAccounts", "SELECT account_id FROM gateway_scheduled_accounts(\(now), \(Int32(Self.dueLimit)))"
        ) { try $0.column("account_id", as: Account.ID.self) }
        guard !accounts.isEmpty else { return Promoted() }
        let due = try await databases.engine.query(
            "outbox.due",
            """
            SELECT \(WaitingMessage.columns)
            FROM outbox b
            \(WaitingMessage.joins)
            WHERE b.state = 'scheduled' AND b.due_at <= \(now) AND b.expires_at > \(now)
            ORDER BY b.due_at
            LIMIT \(Self.dueLimit)
            """, settings: Databases.walks(accounts), access: .readOnly, as: WaitingMessage.init)
        guard !due.isEmpty else { return Promoted() }
        var routes: [Rerouted] = []
        var abandoned: [Abandoned] = []
        for (message, decision) in try await routeAgain(due, now: now) {
            if let sender = decision.sender {
                routes.append(Rerouted(message: message, sender: sender, decision: decision, now: now))
            } else {
                abandoned.append(Abandoned(message: message, failure: Self.code(for: decision.failure)))
            }
        }
        Failpoint.hit(.promoteBegin)
        var promoted = Promoted(looked: due.count)
        promoted.accepted = try await accept(routes, now: now)
        promoted.failed = try await abandon(abandoned, now: now)
        if promoted.accepted > 0 { Failpoint.hit(.promoted) }
        try await announce(Set(routes.map { DueSender(account: $0.message.account, sender: $0.sender) }))
        return promoted
    }

    /// One decision for each, all at once, so that the look-ups of their recipients share statements. A message of an account that is closing, or
    /// whose row is damaged, is left out: its expiry ends it.
    private func routeAgain(_ messages: [WaitingMessage], now: Date) async throws -> [(WaitingMessage, RouteDecision)] {
        try await withThrowingTaskGroup(of: (WaitingMessage, RouteDecision)?.self) { group in
            for message in messages {
                group.addTask { [keys, routing, logger] in
                    do {
                        let routed = try message.routed(try await keys.sealer(for: message.account))
                        return (message, try await routing.decideAgain(message.request, for: routed, caller: message.caller, now: now))
                    } catch is AccountGone {
                        return nil
                    } catch let error as SecretsFailure {
                        logger.error("waiting message cannot be opened", metadata: ["message.id": "\(message.id)", "error.code": "\(error.code)"])
                        return nil
                    }
                }
            }
            return try await group.reduce(into: []) { if let routed = $1 { $0.append(routed) } }
        }
    }

    private func accept(_ routes: [Rerouted], now: Date) async throws -> Int {
        guard !routes.isEmpty else { return 0 }
        return try await databases.engine.query(
            "outbox.promote",
            """
            WITH \(Rerouted.input(routes)),
            hit AS MATERIALIZED (
                SELECT b.account_id, b.message_id
                FROM outbox b
                JOIN input i ON i.account_id = b.account_id AND i.message_id = b.message_id
                WHERE b.state = 'scheduled' AND b.due_at <= \(now) AND b.expires_at > \(now)
                ORDER BY b.account_id, b.message_id
                FOR UPDATE OF b SKIP LOCKED
            ),
            due AS (
                UPDATE outbox b SET state = 'accepted', sender_id = i.sender_id, wire_id = i.wire_id
                FROM hit
                JOIN input i ON i.account_id = hit.account_id AND i.message_id = hit.message_id
                WHERE b.account_id = hit.account_id AND b.message_id = hit.message_id
            ),
            moved AS (
                UPDATE messages m
                SET state = 'accepted', sender_id = i.sender_id, wire_id = i.wire_id, pool_id = i.pool_id, policy = i.policy,
                    route_reason = i.route_reason, estimated_at = i.estimated_at, limited_by = i.limited_by, events = m.events + 1
                FROM hit
                JOIN input i ON i.account_id = hit.account_id AND i.message_id = hit.message_id
                WHERE m.account_id = hit.account_id AND m.message_id = hit.message_id
                RETURNING m.account_id, m.message_id, m.events
            ),
            told AS (
                INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
                SELECT account_id, message_id, events, gateway_uuid7(\(now)), 'queued', \(now) FROM moved
            )
            SELECT message_id FROM moved ORDER BY message_id
            """, settings: Databases.accounts(routes.map(\.message.account)), as: { _ in }
        ).count
    }

    static func code(for failure: RouteDecision.Failure?) -> MessageFailure.Code {
        switch failure {
        case .nobodyNow: .noSenderAvailable
        case .senderNotFound: .senderRemoved
        case .noSender, .senderNotAllowed, .poolNotFound, nil: .senderUnavailable
        }
    }
}
