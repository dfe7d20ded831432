import Foundation

/// What weighing one sender gave. Without references.
struct RouteWeight {
    /// In the snapshot's candidates.
    let place: Int
    var verdict: RouteVerdict
    var limitedBy: LimitCode?
    var standing: RouteStanding
    /// Meaningful if `isKnown`.
    var availableAt: Date
    var isWarm = false
    var isDemoted = false
    /// How many digits of the number its best prefix fits.
    var prefix = 0
    /// Still in the running.
    var isLeft = true
    /// What the policy looks for.
    var fits = false

    init(place: Int, verdict: RouteVerdict, limitedBy: LimitCode? = nil, availableAt: Date = .distantFuture) {
        self.place = place
        self.verdict = verdict
        self.limitedBy = limitedBy
        self.availableAt = availableAt
        standing = verdict.standing ?? .never
    }

    var isHealthy: Bool { !isDemoted }
    var isKnown: Bool { standing == .now || standing == .later || standing == .tooLate }

    func mayBeChosen(failFast: Bool) -> Bool { standing == .now || (standing != .never && !failFast) }

    func considered(in snapshot: RoutingSnapshot, isChosen: Bool) -> RouteDecision.Considered {
        RouteDecision.Considered(
            sender: snapshot.candidates[place].sender, label: snapshot.labels[place], verdict: verdict, limitedBy: limitedBy,
            availableAt: isKnown ? availableAt : nil, isChosen: isChosen)
    }
}

/// Weighs senders for one question: whether each may send this message, and if not now, when.
struct RouteScale {
    private static let allowed: UInt8 = 1
    private static let excluded: UInt8 = 2
    private static let refused: UInt8 = 4
    private static let warm: UInt8 = 8

    private let question: RouteQuestion
    private let candidates: [RoutingSnapshot.Candidate]
    private let poolLimits: EffectiveLimits
    private let poolUsage: SendingUsage
    private let zone: RecipientZone?
    /// What the question says of single senders, by their place; empty: nothing.
    private let marks: [UInt8]

    init(_ question: RouteQuestion, _ snapshot: RoutingSnapshot, pool: Int? = nil, needsZone: Bool) {
        self.question = question
        candidates = snapshot.candidates
        poolLimits = pool.map { snapshot.pools[$0].limits } ?? .none
        poolUsage = pool.map { snapshot.pools[$0].usage } ?? .none
        zone = needsZone ? RecipientZone(digits: question.digits) : nil
        if question.allowedSenders == nil, question.excluded.isEmpty, question.refused.isEmpty, question.warm.isEmpty {
            marks = []
        } else {
            var marks = [UInt8](repeating: question.allowedSenders == nil ? Self.allowed : 0, count: snapshot.candidates.count)
            func mark(_ senders: Set<Sender.ID>, _ bit: UInt8) {
                for sender in senders { if let place = snapshot.place(of: sender) { marks[place] |= bit } }
            }
            mark(question.allowedSenders ?? [], Self.allowed)
            mark(question.excluded, Self.excluded)
            mark(question.refused, Self.refused)
            mark(question.warm, Self.warm)
            self.marks = marks
        }
    }

    /// - Parameter fits: the number has one of its prefixes, where those count.
    func weigh(_ place: Int, fits: Bool = true) -> RouteWeight {
        let mark = marks.isEmpty ? Self.allowed : marks[place]
        let state = candidates[place].state
        if state == .removing || state == .removed { return RouteWeight(place: place, verdict: .removing) }
        if candidates[place].isTest != question.isTest { return RouteWeight(place: place, verdict: .wrongMode) }
        if mark & Self.allowed == 0 { return RouteWeight(place: place, verdict: .notAllowed) }
        if mark & Self.excluded != 0 { return RouteWeight(place: place, verdict: .excluded) }
        if mark & Self.refused != 0 { return RouteWeight(place: place, verdict: .refused) }
        if !fits { return RouteWeight(place: place, verdict: .otherPrefix) }
        var weight =
            switch state {
            case .ready: candidates[place].isOwned ? connected(place, isCold: mark & Self.warm == 0) : RouteWeight(place: place, verdict: .noNode)
            case .temporarilyBanned: banned(place)
            case .connecting: RouteWeight(place: place, verdict: .connecting)
            case .disconnected: RouteWeight(place: place, verdict: .disconnected)
            case .unpaired: RouteWeight(place: place, verdict: .unpaired)
            case .pairing: RouteWeight(place: place, verdict: .pairing)
            case .loggedOut: RouteWeight(place: place, verdict: .loggedOut)
            case .replaced: RouteWeight(place: place, verdict: .replaced)
            case .clientOutdated: RouteWeight(place: place, verdict: .clientOutdated)
            case .parked: RouteWeight(place: place, verdict: .parked)
            case .removing, .removed: RouteWeight(place: place, verdict: .removing)
            }
        weight.isWarm = mark & Self.warm != 0
        weight.isDemoted = candidates[place].demotedUntil > question.at
        return weight
    }

    private func banned(_ place: Int) -> RouteWeight {
        let end = candidates[place].pausedUntil
        guard end > question.at else { return RouteWeight(place: place, verdict: .temporarilyBanned) }
        return later(place, .temporarilyBanned, nil, end)
    }

    private func connected(_ place: Int, isCold: Bool) -> RouteWeight {
        var at = question.at
        var limitedBy: LimitCode?
        func wait(until end: Date, _ code: LimitCode) {
            guard end > at else { return }
            at = end
            limitedBy = code
        }
        wait(until: candidates[place].pausedUntil, .paused)
        if isCold { wait(until: candidates[place].newChatsUntil, .newChatsPaused) }
        // The sender's limits may end in a window in which the pool's do not, and the other way round.
        while true {
            let start = at
            let own = LimitCheck.verdict(
                candidates[place].limits, candidates[place].usage, pairedAt: candidates[place].pairedAt, isCold: isCold,
                priority: question.priority, zone: zone, pacing: false, at: at)
            if let code = own.limitedBy { wait(until: own.allowedAt, code) }
            if poolLimits.isUnlimited { break }
            let shared = LimitCheck.verdict(
                poolLimits, poolUsage, pairedAt: nil, isCold: isCold, priority: question.priority, zone: zone, pacing: false, at: at)
            if let code = shared.limitedBy { wait(until: shared.allowedAt, code.ofPool) }
            if at == start || at > question.expiresAt { break }
        }
        if at == question.at { return RouteWeight(place: place, verdict: .eligible, availableAt: at) }
        return later(place, .limited, limitedBy, at)
    }

    private func later(_ place: Int, _ verdict: RouteVerdict, _ code: LimitCode?, _ end: Date) -> RouteWeight {
        var weight = RouteWeight(place: place, verdict: verdict, limitedBy: code, availableAt: end)
        weight.standing = end < question.expiresAt ? .later : .tooLate
        return weight
    }
}
