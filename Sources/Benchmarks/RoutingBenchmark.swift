import Domain
import Foundation
import Primitives

/// Decisions of the router for a pool of 50 senders, each policy by itself, on one thread: everything that accept asks of it, nothing else.
struct RoutingBenchmark {
    private static let senders = 50
    private static let recipients = 1_000

    let bench: Workbench

    func run(into table: inout Table) throws {
        let random = SystemRandom()
        let now = Date(timeIntervalSince1970: 1_780_000_000)
        let senders = (0..<Self.senders).map { _ in Sender.ID.make(at: now, random: random) }
        let candidates = senders.enumerated().map { place, sender in
            RoutingSnapshot.Candidate(
                sender: sender, isTest: true, state: .ready, pairedAt: now.addingTimeInterval(-86_400 * 90), limits: Self.limits, queued: place % 7)
        }
        let pools = RoutingPolicy.ofPools.map { policy in
            RoutingSnapshot.PoolMembers(
                id: Pool.ID.make(at: now, random: random), policy: policy,
                members: senders.enumerated().map { place, sender in
                    Pool.Member(sender, weight: 1 + place % 5, prefixes: policy == .prefix ? ["62\(place % 10)"] : [])
                }, isDefault: policy == .sticky)
        }
        let snapshot = RoutingSnapshot(candidates: candidates, pools: pools, takenAt: now)
        let recipients = (0..<Self.recipients).map { (index: random.bytes(16), digits: "62812\(10_000_000 + $0)", warm: senders[$0 % senders.count]) }
        for pool in pools {
            bench.say("deciding: \(pool.policy.rawValue)")
            let clock = ContinuousClock()
            var decided = 0
            var chosen = Set<Sender.ID>()
            let start = clock.now
            let end = start + .milliseconds(bench.plan.decisionMilliseconds)
            while clock.now < end {
                for (number, recipient) in recipients.enumerated() {
                    let question = RouteQuestion(
                        request: .pool(pool.id, policy: nil), isTest: true, recipientIndex: recipient.index, digits: recipient.digits,
                        warm: number % 4 == 0 ? [recipient.warm] : [], at: now, turn: UInt64(decided),
                        seed: UInt64(truncatingIfNeeded: decided &* 0x9E37_79B9))
                    if let sender = Router.decide(question, in: snapshot).sender { chosen.insert(sender) }
                    decided += 1
                }
            }
            let seconds = start.duration(to: clock.now) / .seconds(1)
            guard !chosen.isEmpty else { throw BenchmarkFailure("the router chose nobody") }
            table.add(
                "route decisions, pool of \(Self.senders), \(pool.policy.rawValue)", Double(decided) / seconds, "per second and core",
                target: "decisions", .atLeast(200_000))
        }
    }

    /// Limits that never hold anybody back, so that they are looked at every time.
    private static let limits = EffectiveLimits(perSecond: 1_000_000, perDay: 100_000_000, newRecipientsPerDay: 100_000_000)
}
