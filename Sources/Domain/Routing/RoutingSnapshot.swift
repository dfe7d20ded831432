package import Foundation

/// What a routing decision sees: an account's senders and pools at one moment, at most a second old. A value, so that the same snapshot
/// gives the same answer to accept, to a later move, and to `explain`.
package struct RoutingSnapshot: Sendable {
    /// A sender. Without references, so that weighing fifty of them costs nothing but their bytes.
    package struct Candidate: Sendable {
        package let sender: Sender.ID
        package let isTest: Bool
        package let state: SenderState
        package let stateSince: Date
        /// A live node holds its lease.
        package let isOwned: Bool
        package let pairedAt: Date?
        package let limits: EffectiveLimits
        /// What counts against its limits: sent, and promised to it.
        package fileprivate(set) var usage: SendingUsage
        /// From its health: see `SenderHealth`.
        package let pausedUntil: Date
        package let newChatsUntil: Date
        package let demotedUntil: Date
        /// Messages waiting for it and in flight.
        package fileprivate(set) var queued: Int

        package init(
            sender: Sender.ID, isTest: Bool, state: SenderState, stateSince: Date = .distantPast, isOwned: Bool = true, pairedAt: Date? = nil,
            limits: EffectiveLimits = .none, usage: SendingUsage = .none, health: SenderHealth = .well, queued: Int = 0
        ) {
            self.sender = sender
            self.isTest = isTest
            self.state = state
            self.stateSince = stateSince
            self.isOwned = isOwned
            self.pairedAt = pairedAt
            self.limits = limits
            self.usage = usage
            pausedUntil = health.pausedUntil
            newChatsUntil = health.newChatsUntil
            demotedUntil = health.demotedUntil
            self.queued = queued
        }

        /// It left `ready` a moment ago: a break too short to move anybody's messages.
        package func isDamped(at moment: Date) -> Bool {
            (state == .disconnected || state == .connecting || (state == .ready && !isOwned))
                && (0..<SenderCondition.damping).contains(moment.timeIntervalSince(stateSince))
        }
    }

    package typealias Member = Pool.Member

    package struct PoolMembers: Sendable {
        package let id: Pool.ID
        package let policy: RoutingPolicy
        /// In the order of the pool.
        package let members: [Member]
        package let isDefault: Bool
        package let limits: EffectiveLimits
        package fileprivate(set) var usage: SendingUsage

        package init(
            id: Pool.ID, policy: RoutingPolicy, members: [Member], isDefault: Bool, limits: EffectiveLimits = .none, usage: SendingUsage = .none
        ) {
            self.id = id
            self.policy = policy
            self.members = members
            self.isDefault = isDefault
            self.limits = limits
            self.usage = usage
        }
    }

    /// A pool's members as the router walks over them; a member that is no candidate is left out.
    struct Roster: Sendable {
        /// Places in `candidates`.
        let places: [Int]
        let weights: [Int]
        let prefixes: NumberPrefixes
        let needsZone: Bool
    }

    package private(set) var candidates: [Candidate]
    package private(set) var pools: [PoolMembers]
    package let takenAt: Date
    /// Some sender of the account may never write to some recipient.
    package let hasRefusals: Bool
    let labels: [String]
    let rosters: [Roster]
    private let places: [Sender.ID: Int]
    private let poolPlaces: [Pool.ID: Int]
    private let defaultPool: Int?

    package init(
        candidates: [Candidate], labels: [Sender.ID: String] = [:], pools: [PoolMembers], takenAt: Date, hasRefusals: Bool = true
    ) {
        self.candidates = candidates
        self.pools = pools
        self.takenAt = takenAt
        self.hasRefusals = hasRefusals
        self.labels = candidates.map { labels[$0.sender] ?? "" }
        let places = Dictionary(zip(candidates.map(\.sender), candidates.indices), uniquingKeysWith: { first, _ in first })
        self.places = places
        poolPlaces = Dictionary(zip(pools.map(\.id), pools.indices), uniquingKeysWith: { first, _ in first })
        defaultPool = pools.firstIndex(where: \.isDefault)
        rosters = pools.map { pool in
            let members = pool.members.filter { places[$0.sender] != nil }
            let own = members.compactMap { places[$0.sender] }
            return Roster(
                places: own, weights: members.map(\.weight), prefixes: NumberPrefixes(members.map(\.prefixes)),
                needsZone: pool.limits.quietHours != nil || own.contains { candidates[$0].limits.quietHours != nil })
        }
    }

    package func candidate(_ sender: Sender.ID) -> Candidate? { places[sender].map { candidates[$0] } }

    func place(of sender: Sender.ID) -> Int? { places[sender] }

    /// nil: there is no such pool, or no default one.
    func place(of pool: Pool.ID?) -> Int? { pool.map { poolPlaces[$0] } ?? defaultPool }

    /// Counts first contacts among the messages that wait for a sender already.
    mutating func promise(_ sender: Sender.ID, cold: Int, at moment: Date) {
        guard let place = places[sender] else { return }
        candidates[place].usage.add(0, cold: cold, at: moment)
    }

    /// Counts a message that was routed since the snapshot was taken, so that the next decision sees it.
    mutating func reserve(_ sender: Sender.ID, pool: Pool.ID?, isCold: Bool, at moment: Date) {
        guard let place = places[sender] else { return }
        candidates[place].queued += 1
        candidates[place].usage.add(cold: isCold ? 1 : 0, at: moment)
        if let pool, let place = poolPlaces[pool] { pools[place].usage.add(cold: isCold ? 1 : 0, at: moment) }
    }
}
