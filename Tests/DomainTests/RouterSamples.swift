@testable import Domain
import Foundation
import Primitives

/// A generator that gives the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &+ 0x9E37_79B9_7F4A_7C15
        return Chance.mix(state)
    }
}

/// Snapshots and questions for tests of the router.
enum RouterSamples {
    /// 2026-05-28 20:26:40 UTC.
    static let now = Date(timeIntervalSince1970: 1_780_000_000)
    static let pool = Pool.ID(UUID(bytes: [9] + [UInt8](repeating: 0, count: 15)))

    static func sender(_ number: Int) -> Sender.ID {
        Sender.ID(UUID(bytes: [1] + [UInt8](repeating: 0, count: 13) + [UInt8(number / 256), UInt8(number % 256)]))
    }

    /// A recipient's blind index: evenly spread, as a keyed hash is.
    static func recipient(_ number: Int) -> [UInt8] {
        let halves = [Chance.mix(UInt64(number)), Chance.mix(UInt64(number) &+ 1 << 40)]
        return halves.flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64($0 * 8)) } }
    }

    /// A live candidate that may send, unless a parameter says otherwise.
    static func candidate(
        _ number: Int, isTest: Bool = false, state: SenderState = .ready, isOwned: Bool = true, pairedAt: Date? = .distantPast,
        limits: EffectiveLimits = .none, usage: SendingUsage = .none, health: SenderHealth = .well, queued: Int = 0
    ) -> RoutingSnapshot.Candidate {
        RoutingSnapshot.Candidate(
            sender: sender(number), isTest: isTest, state: state, isOwned: isOwned, pairedAt: pairedAt, limits: limits, usage: usage, health: health,
            queued: queued)
    }

    static func snapshot(
        _ candidates: [RoutingSnapshot.Candidate], _ policy: RoutingPolicy, members: [Pool.Member]? = nil, limits: EffectiveLimits = .none,
        usage: SendingUsage = .none
    ) -> RoutingSnapshot {
        let members = members ?? candidates.map { Pool.Member($0.sender) }
        return RoutingSnapshot(
            candidates: candidates,
            pools: [
                RoutingSnapshot.PoolMembers(id: pool, policy: policy, members: members, isDefault: true, limits: limits, usage: usage)
            ], takenAt: now)
    }

    static func question(
        _ request: RouteRequest = .defaultPool(), recipient number: Int = 1, digits: String = "628123456789", isTest: Bool = false,
        allowed: Set<Sender.ID>? = nil, priority: Priority = .normal, failFast: Bool = false, excluded: Set<Sender.ID> = [],
        warm: Set<Sender.ID> = [], refused: Set<Sender.ID> = [], at: Date = now, expiresAt: Date = .distantFuture, turn: UInt64 = 0,
        seed: UInt64 = 0
    ) -> RouteQuestion {
        RouteQuestion(
            request: request, isTest: isTest, allowedSenders: allowed, recipientIndex: recipient(number), digits: digits, priority: priority,
            failFast: failFast, excluded: excluded, warm: warm, refused: refused, at: at, expiresAt: expiresAt, turn: turn, seed: seed)
    }

    /// A snapshot with everything in it that a sender can suffer from.
    static func random(_ generator: inout SeededGenerator) -> RoutingSnapshot {
        let candidates = (0..<Int.random(in: 1...12, using: &generator)).map { number -> RoutingSnapshot.Candidate in
            func sometimes(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &generator) < share }
            func soon() -> Date { now.addingTimeInterval(Double.random(in: -3600...3600, using: &generator).rounded()) }
            var usage = SendingUsage.none
            usage.add(Int.random(in: 0...4, using: &generator), cold: Int.random(in: 0...3, using: &generator), at: sometimes(0.5) ? now : soon())
            let limits = EffectiveLimits(
                perSecond: sometimes(0.3) ? Int.random(in: 1...4, using: &generator) : nil,
                perMinute: sometimes(0.3) ? Int.random(in: 1...4, using: &generator) : nil,
                perHour: sometimes(0.2) ? 3 : nil, perDay: sometimes(0.2) ? 3 : nil, newRecipientsPerDay: sometimes(0.3) ? 2 : nil,
                warmUp: sometimes(0.2), gap: 500, quietHours: sometimes(0.2) ? QuietHours(from: 22 * 60, to: 6 * 60) : nil)
            var health = SenderHealth.well
            if sometimes(0.2) { health.pausedUntil = soon() }
            if sometimes(0.2) { health.newChatsUntil = soon() }
            if sometimes(0.2) { health.demotedUntil = soon() }
            return candidate(
                number, isTest: sometimes(0.2), state: sometimes(0.7) ? .ready : SenderState.allCases.randomElement(using: &generator) ?? .ready,
                isOwned: sometimes(0.9), pairedAt: sometimes(0.5) ? now.addingTimeInterval(-40 * 86_400) : soon(),
                limits: sometimes(0.5) ? limits : .none, usage: usage, health: health, queued: Int.random(in: 0...9, using: &generator))
        }
        let members = candidates.shuffled(using: &generator).prefix(Int.random(in: 0...candidates.count, using: &generator)).map {
            let prefixes = Bool.random(using: &generator) ? [] : [["62", "6281", "49", "1"].randomElement(using: &generator) ?? "62"]
            return Pool.Member($0.sender, weight: Int.random(in: 0...3, using: &generator), prefixes: prefixes)
        }
        return snapshot(candidates, RoutingPolicy.ofPools.randomElement(using: &generator) ?? .sticky, members: members)
    }
}
