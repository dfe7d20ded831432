package import Foundation
import Postgres
import Primitives
import Synchronization

/// Holds each account's routing snapshot for up to a second, looks up whom the recipient knows, and asks the router. Callers know neither
/// policies nor candidates.
package final class Routing: Sendable {
    private static let capacity = 10_000
    /// A snapshot this old that lacks a sender or pool somebody names is read anew: it may have been made on another node. Seconds.
    private static let patience: TimeInterval = 0.05
    /// How often a snapshot that was forgotten between reading and deciding is read again.
    private static let tries = 20

    private let databases: Databases
    private let keys: AccountKeys
    private let random: any RandomSource
    private let isPaced: Bool
    private let now: @Sendable () -> Date
    private let accounts = Mutex<[Account.ID: AccountRoutes]>([:])
    private let known: RecipientLookup
    private let knownToEngine: RecipientLookup

    init(databases: Databases, keys: AccountKeys, random: any RandomSource, isPaced: Bool = true, now: @escaping @Sendable () -> Date) {
        self.databases = databases
        self.keys = keys
        self.random = random
        self.isPaced = isPaced
        self.now = now
        known = RecipientLookup(database: databases.api)
        knownToEngine = RecipientLookup(database: databases.engine)
    }

    /// Decides for one message that is about to be accepted at `now`. What is decided counts against limits and queues at once, before the
    /// message is stored; a decision that is not carried out is forgotten within a second.
    package func decide(_ request: RouteRequest, for message: RoutedMessage, caller: Caller, now: Date) async throws -> RouteDecision {
        try await decide(request, message, caller, now, taking: true, by: databases.api, known)
    }

    /// The same for a message that has come due or looks for another sender, under the engine's login.
    package func decideAgain(_ request: RouteRequest, for message: RoutedMessage, caller: Caller, now: Date) async throws -> RouteDecision {
        try await decide(request, message, caller, now, taking: true, by: databases.engine, knownToEngine)
    }

    /// The decision that the next message would get, with what was thought of every sender. Takes no turn and counts nowhere.
    package func explain(_ request: RouteRequest, for message: RoutedMessage, caller: Caller, now: Date) async throws -> RouteDecision {
        try await decide(request, message, caller, now, taking: false, by: databases.api, known)
    }

    /// What the next decision of the account would be made from.
    package func snapshot(of account: Account.ID) async throws -> RoutingSnapshot {
        let routes = routes(of: account)
        for _ in 0..<Self.tries {
            try await refresh(routes, account, by: databases.api)
            if let snapshot = routes.look({ $0 }) { return snapshot }
        }
        throw DatabaseError(.unavailable, statement: "routing", detail: "the account's senders change faster than they can be read")
    }

    /// Forgets an account's snapshot, so that what this process changed itself is seen at once.
    package func forget(_ account: Account.ID) { accounts.withLock { $0[account] }?.forget() }

    private func decide(
        _ request: RouteRequest, _ message: RoutedMessage, _ caller: Caller, _ now: Date, taking: Bool, by database: Database,
        _ known: RecipientLookup
    ) async throws -> RouteDecision {
        let routes = routes(of: caller.account)
        let at = max(now, message.dueAt ?? now)
        var hasLookedAgain = false
        for _ in 0..<Self.tries {
            try await refresh(routes, caller.account, by: database)
            let look = routes.look { ($0.names(request), $0.dependsOnRecipient(request, caller, at: at), $0.takenAt) }
            guard let (isNamed, dependsOnRecipient, takenAt) = look else { continue }
            if !isNamed, !hasLookedAgain, self.now().timeIntervalSince(takenAt) >= Self.patience {
                hasLookedAgain = true
                routes.forget()
                continue
            }
            let senders = dependsOnRecipient ? try await known.find(message.recipientIndex, account: caller.account) : KnownSenders()
            let decision = routes.decide(request, taking: taking, isDue: at <= now) { turn, seed in
                RouteQuestion(
                    request: request, isTest: caller.isTest, allowedSenders: caller.allowedSenders, recipientIndex: message.recipientIndex,
                    digits: message.digits, priority: message.priority, failFast: message.failFast, excluded: message.excluded,
                    warm: senders.warm, refused: senders.refused, at: at, expiresAt: message.expiresAt, turn: turn, seed: seed)
            }
            if let decision { return decision }
        }
        throw DatabaseError(.unavailable, statement: "routing", detail: "the account's senders change faster than they can be read")
    }

    private func routes(of account: Account.ID) -> AccountRoutes {
        accounts.withLock { accounts in
            if let routes = accounts[account] { return routes }
            if accounts.count >= Self.capacity { accounts.removeAll() }
            let routes = AccountRoutes(seed: random.bytes(8).reduce(0) { $0 << 8 | UInt64($1) })
            accounts[account] = routes
            return routes
        }
    }

    private func refresh(_ routes: AccountRoutes, _ account: Account.ID, by database: Database) async throws {
        try await routes.refresh(at: now()) { [keys, isPaced, now] remembered in
            try await RoutingSnapshot.read(account, by: database, keys, remembered, isPaced: isPaced, takenAt: now())
        }
    }
}

extension RoutingSnapshot {
    /// Whether the sender or pool of the request is there.
    func names(_ request: RouteRequest) -> Bool {
        switch request {
        case .sender(let id): place(of: id) != nil
        case .pool(let id, _): place(of: id) != nil
        case .defaultPool: place(of: nil as Pool.ID?) != nil
        }
    }

    /// Whether the decision could be another one for another recipient's history. With one sender to choose from and no limit that tells
    /// cold from warm it could not, and nobody has to look.
    func dependsOnRecipient(_ request: RouteRequest, _ caller: Caller, at moment: Date) -> Bool {
        if hasRefusals { return true }
        let places: [Int]
        switch request {
        case .sender(let id): places = place(of: id).map { [$0] } ?? []
        case .pool(let id, _):
            guard let pool = place(of: id) else { return false }
            if pools[pool].limits.dependsOnWarmth { return true }
            places = rosters[pool].places
        case .defaultPool:
            guard let pool = place(of: nil as Pool.ID?) else { return false }
            if pools[pool].limits.dependsOnWarmth { return true }
            places = rosters[pool].places
        }
        var possible = 0
        for place in places {
            let sender = candidates[place].sender
            guard candidates[place].isTest == caller.isTest, caller.allowedSenders?.contains(sender) ?? true else { continue }
            possible += 1
            if possible > 1 || candidates[place].limits.dependsOnWarmth || candidates[place].newChatsUntil > moment { return true }
        }
        return false
    }
}
