import Foundation
import Postgres
import Secrets
import Synchronization

/// Holds each account's routing snapshot for up to a second and asks the router. Callers know neither policies nor candidates.
package final class Routing: Sendable {
    private struct State {
        var snapshots: [Account.ID: RoutingSnapshot] = [:]
        var turns: [Account.ID: UInt64] = [:]
    }

    /// Seconds; the bound of design.md §13.2.
    private static let lifetime: TimeInterval = 1
    private static let capacity = 10_000

    private let databases: Databases
    private let keys: AccountKeys
    private let now: @Sendable () -> Date
    private let state = Mutex(State())

    init(databases: Databases, keys: AccountKeys, now: @escaping @Sendable () -> Date) {
        self.databases = databases
        self.keys = keys
        self.now = now
    }

    /// Decides for one message, and moves the turn on.
    package func decide(_ request: RouteRequest, caller: Caller) async throws -> (decision: RouteDecision, snapshot: RoutingSnapshot) {
        let snapshot = try await snapshot(caller.account)
        let turn = state.withLock { state in
            if state.turns.count >= Self.capacity { state.turns.removeAll() }
            let turn = state.turns[caller.account, default: 0]
            state.turns[caller.account] = turn &+ 1
            return turn
        }
        return (Router.decide(question(request, caller, turn: turn), in: snapshot), snapshot)
    }

    /// The decision the next message would get, without taking its turn.
    package func explain(_ request: RouteRequest, caller: Caller) async throws -> RouteDecision {
        let snapshot = try await snapshot(caller.account)
        let turn = state.withLock { $0.turns[caller.account, default: 0] }
        return Router.decide(question(request, caller, turn: turn), in: snapshot)
    }

    /// Forgets an account's snapshot, so that what this process changed itself is seen at once.
    package func forget(_ account: Account.ID) { _ = state.withLock { $0.snapshots.removeValue(forKey: account) } }

    private func question(_ request: RouteRequest, _ caller: Caller, turn: UInt64) -> RouteQuestion {
        RouteQuestion(request: request, isTest: caller.isTest, allowedSenders: caller.allowedSenders, turn: turn)
    }

    private func snapshot(_ account: Account.ID) async throws -> RoutingSnapshot {
        let moment = now()
        let known = state.withLock { $0.snapshots[account] }
        if let known, (0..<Self.lifetime).contains(moment.timeIntervalSince(known.takenAt)) { return known }
        let fresh = try await read(account, takenAt: moment)
        state.withLock { state in
            if state.snapshots.count >= Self.capacity { state.snapshots.removeAll() }
            state.snapshots[account] = fresh
        }
        return fresh
    }

    private func read(_ account: Account.ID, takenAt: Date) async throws -> RoutingSnapshot {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.transaction(Databases.accounts([account]), access: .readOnly) { transaction in
            let results = try await transaction.commit(with: [
                Statement(
                    "routing.senders",
                    "SELECT sender_id, label_sealed, test, state FROM senders WHERE account_id = \(account) AND state <> 'removed' ORDER BY sender_id"
                ),
                Statement(
                    "routing.pools",
                    """
                    SELECT p.pool_id, p.policy, p.is_default,
                        ARRAY(SELECT m.sender_id FROM pool_members m
                            WHERE m.account_id = p.account_id AND m.pool_id = p.pool_id ORDER BY m.place, m.sender_id) AS members
                    FROM pools p
                    WHERE p.account_id = \(account)
                    ORDER BY p.pool_id
                    """),
            ])
            let candidates = try results[0].rows { row in
                let id = try row.column("sender_id", as: Sender.ID.self)
                return RoutingSnapshot.Candidate(
                    sender: id, label: try sealer.openText(row.column("label_sealed"), .senderLabel(id)), isTest: try row["test"],
                    state: try row.state("state"))
            }
            let pools = try results[1].rows { row in
                RoutingSnapshot.PoolMembers(
                    id: try row["pool_id"], policy: try row.state("policy"), members: try row["members"], isDefault: try row["is_default"])
            }
            return RoutingSnapshot(candidates: candidates, pools: pools, takenAt: takenAt)
        }
    }
}
