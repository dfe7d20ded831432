@testable import Domain
import Foundation
import TestSupport
import Testing

/// What the router decides, case by case.
@Suite struct RoutingTests {
    private typealias Samples = RouterSamples
    private static let now = Samples.now

    private func decide(_ snapshot: RoutingSnapshot, _ question: RouteQuestion = Samples.question()) -> RouteDecision {
        Router.decide(question, in: snapshot)
    }

    // MARK: Policies

    @Test func `round robin goes round those that may send, in the order of the pool`() {
        let snapshot = Samples.snapshot(
            [Samples.candidate(0), Samples.candidate(1, state: .disconnected), Samples.candidate(2), Samples.candidate(3)], .roundRobin)
        let chosen = (0..<6).map { decide(snapshot, Samples.question(turn: UInt64($0))).sender }
        #expect(chosen == [0, 2, 3, 0, 2, 3].map { Samples.sender($0) })
    }

    @Test func `priority takes the first of the pool that may send`() {
        let candidates = [Samples.candidate(2), Samples.candidate(1), Samples.candidate(0)]
        let members = [1, 0, 2].map { Pool.Member(Samples.sender($0)) }
        #expect(decide(Samples.snapshot(candidates, .priority, members: members)).sender == Samples.sender(1))
        let without = [Samples.candidate(2), Samples.candidate(1, state: .parked), Samples.candidate(0)]
        #expect(decide(Samples.snapshot(without, .priority, members: members)).sender == Samples.sender(0))
    }

    @Test func `least busy takes the shortest queue, and the earlier of equals`() {
        let snapshot = Samples.snapshot(
            [Samples.candidate(0, queued: 5), Samples.candidate(1, queued: 2), Samples.candidate(2, queued: 2)], .leastBusy)
        #expect(decide(snapshot).sender == Samples.sender(1))
    }

    @Test func `weight 0 sends only if nobody else may`() {
        let members = [Pool.Member(Samples.sender(0), weight: 0), Pool.Member(Samples.sender(1), weight: 1)]
        let both = Samples.snapshot([Samples.candidate(0), Samples.candidate(1)], .weighted, members: members)
        let alone = Samples.snapshot([Samples.candidate(0), Samples.candidate(1, state: .parked)], .weighted, members: members)
        for seed in 0..<100 as Range<UInt64> {
            #expect(decide(both, Samples.question(seed: seed)).sender == Samples.sender(1))
            #expect(decide(alone, Samples.question(seed: seed)).sender == Samples.sender(0))
        }
        let explained = Router.decide(Samples.question(), in: both, explaining: true)
        #expect(explained.considered.first?.verdict == .lastResort)
    }

    @Test func `prefix takes the longest that fits, a member without prefixes takes the rest, and others never send`() {
        let members = [
            Pool.Member(Samples.sender(0)), Pool.Member(Samples.sender(1), prefixes: ["62", "49"]),
            Pool.Member(Samples.sender(2), prefixes: ["6281"]),
            Pool.Member(Samples.sender(3), prefixes: ["6281"]),
        ]
        let snapshot = Samples.snapshot((0..<4).map { Samples.candidate($0) }, .prefix, members: members)
        func chosen(_ digits: String, turn: UInt64 = 0) -> Sender.ID? { decide(snapshot, Samples.question(digits: digits, turn: turn)).sender }
        #expect(chosen("4915112345678") == Samples.sender(1) && chosen("6285012345") == Samples.sender(1))
        #expect(chosen("33612345678") == Samples.sender(0))
        #expect([0, 1, 2].map { chosen("628123456789", turn: $0) } == [2, 3, 2].map { Samples.sender($0) })

        let strict = Samples.snapshot([Samples.candidate(1)], .prefix, members: [members[1]])
        #expect(decide(strict, Samples.question(digits: "33612345678")).failure == .noSender)
    }

    @Test func `an explicit sender is taken, however it stands, unless it can never send`() {
        let candidates = [
            Samples.candidate(0), Samples.candidate(1, state: .disconnected), Samples.candidate(2, isTest: true),
            Samples.candidate(3, state: .removing),
        ]
        let snapshot = Samples.snapshot(candidates, .sticky)
        #expect(decide(snapshot, Samples.question(.sender(Samples.sender(0)))).sender == Samples.sender(0))
        let waiting = decide(snapshot, Samples.question(.sender(Samples.sender(1))))
        #expect(waiting.sender == Samples.sender(1) && waiting.isWaiting && waiting.availableAt == nil && waiting.policy == .explicit)
        #expect(decide(snapshot, Samples.question(.sender(Samples.sender(2)))).failure == .noSender)
        #expect(decide(snapshot, Samples.question(.sender(Samples.sender(3)))).failure == .noSender)
        #expect(decide(snapshot, Samples.question(.sender(Samples.sender(4)))).failure == .senderNotFound)
        #expect(decide(snapshot, Samples.question(.sender(Samples.sender(0)), allowed: [])).failure == .senderNotAllowed)
        #expect(decide(snapshot, Samples.question(.sender(Samples.sender(1)), failFast: true)).failure == .nobodyNow)
    }

    @Test func `the request's policy goes before the pool's`() {
        let snapshot = Samples.snapshot([Samples.candidate(0, queued: 3), Samples.candidate(1)], .priority)
        let decision = decide(snapshot, Samples.question(.defaultPool(policy: .leastBusy)))
        #expect(decision.sender == Samples.sender(1) && decision.policy == .leastBusy)
    }

    // MARK: Order of things

    @Test func `a warm sender goes before any policy, a demoted one after all others`() {
        var demoted = SenderHealth.well
        demoted.demotedUntil = Self.now.addingTimeInterval(60)
        let candidates = [Samples.candidate(0), Samples.candidate(1), Samples.candidate(2, health: demoted)]
        for policy in RoutingPolicy.ofPools {
            let snapshot = Samples.snapshot(candidates, policy)
            #expect(decide(snapshot, Samples.question(warm: [Samples.sender(1)])).sender == Samples.sender(1))
            #expect(decide(snapshot, Samples.question(warm: [Samples.sender(1)])).isWarm)
            // Warm, but demoted: the others still go first.
            let other = decide(snapshot, Samples.question(warm: [Samples.sender(2)])).sender
            #expect(other == Samples.sender(0) || other == Samples.sender(1))
            #expect(decide(Samples.snapshot([candidates[2]], policy)).sender == Samples.sender(2))
        }
    }

    @Test func `who may first is waited for: known before unknown, unknown before too late, a person's work last`() {
        let soon = Self.now.addingTimeInterval(100)
        var paused = SenderHealth.well
        paused.pausedUntil = soon
        let inAMinute = Samples.candidate(0, health: paused)
        let disconnected = Samples.candidate(1, state: .disconnected)
        let unpaired = Samples.candidate(2, state: .unpaired)
        let snapshot = Samples.snapshot([unpaired, disconnected, inAMinute], .priority)

        let first = decide(snapshot)
        #expect(first.sender == Samples.sender(0) && first.availableAt == soon && first.limitedBy == .paused && first.isWaiting)
        #expect(first.estimatedSendAt == soon)
        let short = decide(snapshot, Samples.question(expiresAt: Self.now.addingTimeInterval(50)))
        #expect(short.sender == Samples.sender(1) && short.availableAt == nil && short.estimatedSendAt == nil)
        let late = decide(Samples.snapshot([unpaired, inAMinute], .priority), Samples.question(expiresAt: Self.now.addingTimeInterval(50)))
        #expect(late.sender == Samples.sender(0))
        #expect(decide(Samples.snapshot([unpaired], .priority)).sender == Samples.sender(2))
        let fast = decide(snapshot, Samples.question(failFast: true))
        #expect(fast.failure == .nobodyNow && fast.availableAt == soon && fast.sender == nil)
    }

    @Test func `a ready sender whose node is gone waits`() {
        let snapshot = Samples.snapshot([Samples.candidate(0, isOwned: false), Samples.candidate(1)], .priority)
        #expect(decide(snapshot).sender == Samples.sender(1))
        let explained = Router.decide(Samples.question(), in: snapshot, explaining: true)
        #expect(explained.considered.map(\.code) == ["no_node", "eligible"] && explained.considered.map(\.isChosen) == [false, true])
    }

    @Test func `a breaker for new chats holds back cold recipients only`() {
        var cooling = SenderHealth.well
        cooling.newChatsUntil = Self.now.addingTimeInterval(3600)
        let snapshot = Samples.snapshot([Samples.candidate(0, health: cooling)], .sticky)
        let cold = decide(snapshot)
        #expect(cold.availableAt == cooling.newChatsUntil && cold.limitedBy == .newChatsPaused)
        #expect(decide(snapshot, Samples.question(warm: [Samples.sender(0)])).availableAt == Self.now)
    }

    @Test func `a pool without usable members gives no sender, and says why`() {
        let snapshot = Samples.snapshot([Samples.candidate(0, isTest: true), Samples.candidate(1), Samples.candidate(2)], .sticky)
        let decision = Router.decide(
            Samples.question(excluded: [Samples.sender(1)], refused: [Samples.sender(2)]), in: snapshot, explaining: true)
        #expect(decision.failure == .noSender && decision.considered.map(\.verdict) == [.wrongMode, .excluded, .refused])
        #expect(decide(Samples.snapshot([], .sticky)).failure == .noSender)
        #expect(decide(snapshot, Samples.question(.pool(Pool.ID(UUID())))).failure == .poolNotFound)
        let forbidden = Samples.snapshot([Samples.candidate(1)], .sticky)
        #expect(decide(forbidden, Samples.question(allowed: [Samples.sender(5)])).failure == .senderNotAllowed)
    }

    @Test func `explain names every sender of the account, members first`() {
        let candidates = (0..<3).map { Samples.candidate($0) }
        let snapshot = Samples.snapshot(candidates, .priority, members: [Pool.Member(Samples.sender(2)), Pool.Member(Samples.sender(0))])
        let decision = Router.decide(Samples.question(), in: snapshot, explaining: true)
        #expect(decision.considered.map(\.sender) == [2, 0, 1].map { Samples.sender($0) })
        #expect(decision.considered.map(\.verdict) == [.eligible, .eligible, .notInPool])
        #expect(decision.sender == decide(snapshot).sender && decide(snapshot).considered.isEmpty)
    }

    @Test func `the estimate counts the queue's gaps and windows that are promised already`() {
        let paced = EffectiveLimits(gap: 1000, gapJitter: 2000)
        let queue = decide(Samples.snapshot([Samples.candidate(0, limits: paced, queued: 10)], .sticky))
        #expect(queue.availableAt == Self.now && queue.estimatedSendAt == Self.now.addingTimeInterval(20) && queue.limitedBy == .gap)

        var usage = SendingUsage.none
        usage.add(25, at: Self.now)
        let capped = decide(Samples.snapshot([Samples.candidate(0, limits: EffectiveLimits(perMinute: 10), usage: usage)], .sticky))
        let minute = LimitWindow.minute.start(at: Self.now)
        #expect(capped.availableAt == minute.addingTimeInterval(60) && capped.limitedBy == .perMinute)
        // 25 promised at 10 a minute: this minute, the next, and half of the one after; ours leaves in that one.
        #expect(capped.estimatedSendAt == minute.addingTimeInterval(120))
    }

    @Test func `every verdict and limit has a code, a sentence and a way out`() {
        for verdict in RouteVerdict.allCases { #expect(verdict.sentence.hasSuffix(".") && !verdict.wayOut.isEmpty) }
        for code in LimitCode.allCases { #expect(code.sentence.hasSuffix(".") && !code.wayOut.isEmpty) }
        for policy in RoutingPolicy.allCases { #expect(!policy.sentence.isEmpty) }
        let codes = RouteVerdict.allCases.map(\.rawValue) + LimitCode.allCases.map(\.rawValue)
        #expect(Set(codes).count == codes.count)
    }

    // MARK: Sender conditions

    @Test func `a sender's condition says what holds a connected one back, and a connection's state before that`() {
        var health = SenderHealth.well
        health.newChatsUntil = Self.now.addingTimeInterval(60)
        #expect(SenderCondition(.ready, health, now: Self.now).code == .cooling)
        health.pausedUntil = Self.now.addingTimeInterval(30)
        #expect(SenderCondition(.ready, health, now: Self.now).code == .rateLimited)
        #expect(SenderCondition(.ready, health, now: Self.now).until == health.pausedUntil)
        #expect(SenderCondition(.temporarilyBanned, health, now: Self.now).until == health.pausedUntil)
        #expect(SenderCondition(.disconnected, health, now: Self.now).code == .disconnected)
        #expect(SenderCondition(.ready, health, now: Self.now.addingTimeInterval(60)).code == .ready)
        for state in SenderState.allCases {
            let condition = SenderCondition(state, .well, now: Self.now)
            #expect(!condition.sentence.isEmpty && !condition.wayOut.isEmpty)
        }
        #expect(Samples.candidate(0, state: .disconnected).isDamped(at: Self.now) == false)
        let fresh = RoutingSnapshot.Candidate(
            sender: Samples.sender(0), isTest: false, state: .disconnected, stateSince: Self.now.addingTimeInterval(-4.9))
        #expect(fresh.isDamped(at: Self.now) && !fresh.isDamped(at: Self.now.addingTimeInterval(0.1)))
    }
}
