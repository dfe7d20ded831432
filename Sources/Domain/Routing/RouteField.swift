import Foundation

/// The members of one pool while one of them is being chosen.
struct RouteField {
    private let weights: UnsafeMutableBufferPointer<RouteWeight>
    private let roster: RoutingSnapshot.Roster
    /// The best standing of any member.
    private(set) var standing = RouteStanding.never
    /// Of the best ones, if it is known.
    private var availableAt = Date.distantFuture
    /// How many are still in the running.
    private(set) var left = 0

    /// `weights` has room for every member and is filled by `weigh`.
    init(weights: UnsafeMutableBufferPointer<RouteWeight>, roster: RoutingSnapshot.Roster) {
        self.weights = weights
        self.roster = roster
    }

    mutating func weigh(_ scale: RouteScale, _ policy: RoutingPolicy, digits: String) {
        let number = policy == .prefix ? NumberPrefixes.Heads(digits) : nil
        for member in weights.indices {
            let prefix = number.map { roster.prefixes.length(of: member, $0) } ?? 0
            var weight = scale.weigh(roster.places[member], fits: prefix != nil)
            weight.prefix = prefix ?? 0
            weights.initializeElement(at: member, to: weight)
            guard weight.standing != .never else { continue }
            if weight.standing < standing || (weight.standing == standing && weight.isKnown && weight.availableAt < availableAt) {
                standing = weight.standing
                availableAt = weight.isKnown ? weight.availableAt : .distantFuture
            }
        }
    }

    /// Keeps those that may send first; of them those without a demotion, if there are any; of them the warm ones, if there are any.
    mutating func narrow() {
        left = 0
        for member in weights.indices {
            let isFirst = weights[member].standing == standing && (!weights[member].isKnown || weights[member].availableAt == availableAt)
            weights[member].isLeft = isFirst
            if isFirst { left += 1 }
        }
        keep(\.isHealthy, elseSay: .demoted)
        keep(\.isWarm, elseSay: .anotherIsWarm)
    }

    /// A member that is left; `narrow` leaves at least one.
    mutating func choose(_ policy: RoutingPolicy, _ question: RouteQuestion, _ snapshot: RoutingSnapshot) -> Int {
        switch policy {
        case .priority, .explicit:
            return nth(0)
        case .roundRobin:
            return nth(Int(question.turn % UInt64(left)))
        case .random:
            return nth(Chance.below(left, question.seed))
        case .sticky:
            let recipient = Chance.fold(question.recipientIndex)
            return best { Chance.score(recipient, snapshot.candidates[$0.place].sender) }
        case .leastBusy:
            return best { UInt64(Int.max - snapshot.candidates[$0.place].queued) }
        case .weighted:
            return drawn(question.seed)
        case .prefix:
            var longest = 0
            for weight in weights where weight.isLeft { longest = max(longest, weight.prefix) }
            for member in weights.indices { weights[member].fits = weights[member].prefix == longest }
            keep(\.fits, elseSay: .shorterPrefix)
            return nth(Int(question.turn % UInt64(left)))
        }
    }

    private mutating func drawn(_ seed: UInt64) -> Int {
        for member in weights.indices { weights[member].fits = roster.weights[member] > 0 }
        keep(\.fits, elseSay: .lastResort)
        var total = 0
        for member in weights.indices where weights[member].isLeft { total += roster.weights[member] }
        guard total > 0 else { return nth(Chance.below(left, seed)) }
        var draw = Chance.below(total, seed)
        for member in weights.indices where weights[member].isLeft {
            draw -= roster.weights[member]
            if draw < 0 { return member }
        }
        return nth(0)
    }

    /// Drops the others, unless that would drop all.
    private mutating func keep(_ isKept: (RouteWeight) -> Bool, elseSay verdict: RouteVerdict) {
        var kept = 0
        for weight in weights where weight.isLeft && isKept(weight) { kept += 1 }
        guard kept > 0, kept < left else { return }
        for member in weights.indices where weights[member].isLeft && !isKept(weights[member]) {
            weights[member].isLeft = false
            if standing == .now { weights[member].verdict = verdict }
        }
        left = kept
    }

    private func nth(_ count: Int) -> Int {
        var ahead = count
        for member in weights.indices where weights[member].isLeft {
            if ahead == 0 { return member }
            ahead -= 1
        }
        return 0
    }

    /// The one with the highest score; the earlier one of equals.
    private func best(_ score: (RouteWeight) -> UInt64) -> Int {
        var best: (member: Int, score: UInt64)?
        for member in weights.indices where weights[member].isLeft {
            let own = score(weights[member])
            if best.map({ own > $0.score }) ?? true { best = (member, own) }
        }
        return best?.member ?? 0
    }
}

/// The numbers that chance and hashing policies go by; the same on every node and in every version.
enum Chance {
    /// A number in 0..<bound from a seed. Neighbouring seeds give unrelated numbers.
    static func below(_ bound: Int, _ seed: UInt64) -> Int { Int(mix(seed).multipliedFullWidth(by: UInt64(bound)).high) }

    /// Rendezvous hashing: each recipient ranks the senders in an order of its own, and the first that may send is its sender.
    static func score(_ recipient: UInt64, _ sender: Sender.ID) -> UInt64 {
        let (high, low) = sender.halves
        return mix(mix(recipient ^ high) ^ low)
    }

    /// A blind index, which is evenly spread already, as one number.
    static func fold(_ index: [UInt8]) -> UInt64 {
        var folded: UInt64 = 0
        for (place, byte) in index.enumerated() {
            folded ^= UInt64(byte) << UInt64(place % 8 * 8)
            if place % 8 == 7 { folded = mix(folded) }
        }
        return folded
    }

    /// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

extension TypedID {
    /// The 16 bytes as two numbers.
    var halves: (UInt64, UInt64) {
        withUnsafeBytes(of: uuid.uuid) {
            ($0.loadUnaligned(as: UInt64.self).bigEndian, $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self).bigEndian)
        }
    }
}
