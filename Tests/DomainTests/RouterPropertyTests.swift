@testable import Domain
import Foundation
import Testing

/// What must hold for any snapshot, tried on many that chance made from a fixed seed.
@Suite struct RouterPropertyTests {
    private typealias Samples = RouterSamples

    /// Said again in other words than the router's: whether a sender may ever, and whether it may now.
    private func mayEver(_ candidate: RoutingSnapshot.Candidate, _ question: RouteQuestion) -> Bool {
        candidate.isTest == question.isTest && candidate.state != .removing && candidate.state != .removed
            && (question.allowedSenders?.contains(candidate.sender) ?? true) && !question.excluded.contains(candidate.sender)
            && !question.refused.contains(candidate.sender)
    }

    private func mayNow(_ candidate: RoutingSnapshot.Candidate, _ question: RouteQuestion) -> Bool {
        let isWarm = question.warm.contains(candidate.sender)
        let limits = candidate.limits
        let usage = candidate.usage
        guard candidate.state == .ready, candidate.isOwned, candidate.pausedUntil <= question.at else { return false }
        for window in LimitWindow.allCases {
            if let cap = limits.cap(of: window), usage.used(in: window, at: question.at) >= cap { return false }
        }
        if !isWarm {
            if candidate.newChatsUntil > question.at { return false }
            var cap = limits.newRecipientsPerDay ?? .max
            let age = Int((question.at.timeIntervalSince(candidate.pairedAt ?? question.at) / 86_400).rounded(.down))
            if limits.warmUp, age < 28 {
                let full = limits.newRecipientsPerDay ?? 1000
                cap = full <= 20 ? full : 20 + (full - 20) * max(0, age) / 28
            }
            if usage.newRecipients(at: question.at) >= cap { return false }
        }
        if question.priority != .high, let quiet = limits.quietHours, RecipientZone(digits: question.digits).isQuiet(quiet, at: question.at) {
            return false
        }
        return true
    }

    @Test func `an ineligible sender is never chosen, nor one that must wait while another need not`() {
        var generator = SeededGenerator(20_261_121)
        var (chosenNow, waiting, nobody) = (0, 0, 0)
        for _ in 0..<20_000 {
            let snapshot = Samples.random(&generator)
            let all = snapshot.candidates.map(\.sender)
            func some(_ share: Double) -> Set<Sender.ID> { Set(all.filter { _ in Double.random(in: 0..<1, using: &generator) < share }) }
            let question = Samples.question(
                Bool.random(using: &generator) ? .defaultPool() : .pool(Samples.pool, policy: RoutingPolicy.ofPools.randomElement(using: &generator)),
                recipient: Int.random(in: 0...1000, using: &generator),
                digits: ["628123456789", "4915112345678", "12125550100"].randomElement(using: &generator) ?? "",
                isTest: Double.random(in: 0..<1, using: &generator) < 0.2, allowed: Bool.random(using: &generator) ? nil : some(0.7),
                priority: Priority.allCases.randomElement(using: &generator) ?? .normal, failFast: Bool.random(using: &generator),
                excluded: some(0.1), warm: some(0.2), refused: some(0.1), turn: generator.next(), seed: generator.next())

            let decision = Router.decide(question, in: snapshot)
            let explained = Router.decide(question, in: snapshot, explaining: true)

            let members = snapshot.pools[0].members.compactMap { snapshot.candidate($0.sender) }
            let isPrefix = decision.policy == .prefix
            let fitting = members.filter { member in
                let prefixes = snapshot.pools[0].members.first { $0.sender == member.sender }?.prefixes ?? []
                return !isPrefix || prefixes.isEmpty || prefixes.contains { question.digits.hasPrefix($0) }
            }
            let able = fitting.filter { mayEver($0, question) }
            let ableNow = able.filter { mayNow($0, question) }
            #expect(decision.sender == explained.sender && decision.reason == explained.reason)
            guard let sender = decision.sender else {
                nobody += 1
                #expect(able.isEmpty || (question.failFast && ableNow.isEmpty))
                continue
            }
            #expect(able.contains { $0.sender == sender })
            if ableNow.isEmpty {
                waiting += 1
                #expect(decision.isWaiting && !question.failFast)
            } else {
                chosenNow += 1
                #expect(ableNow.contains { $0.sender == sender } && !decision.isWaiting)
                let healthy = ableNow.filter { $0.demotedUntil <= question.at }
                let best = healthy.isEmpty ? ableNow : healthy
                #expect(best.contains { $0.sender == sender })
                if best.contains(where: { question.warm.contains($0.sender) }) { #expect(question.warm.contains(sender)) }
            }
        }
        // The samples are worth something only if each of the three happens often.
        #expect(chosenNow > 3000 && waiting > 1000 && nobody > 1000)
    }

    @Test(arguments: [2, 5, 50]) func `sticky moves only the lost sender's people, and they spread over the others`(count: Int) {
        let all = (0..<count).map { Samples.candidate($0) }
        let before = Samples.snapshot(all, .sticky)
        let lost = count / 2
        let after = Samples.snapshot(all.enumerated().map { $0 == lost ? Samples.candidate(lost, state: .loggedOut) : $1 }, .sticky)
        var (people, moved) = ([Int: Int](), [Sender.ID: Int]())
        for recipient in 0..<20_000 {
            let question = Samples.question(recipient: recipient)
            let first = Router.decide(question, in: before).sender
            let second = Router.decide(question, in: after).sender
            if first == Samples.sender(lost) {
                #expect(second != first)
                moved[second ?? Samples.sender(lost), default: 0] += 1
            } else {
                #expect(second == first)
            }
            if let place = all.firstIndex(where: { $0.sender == first }) { people[place, default: 0] += 1 }
        }
        let fair = Double(20_000 / count)
        for place in 0..<count { #expect(abs(Double(people[place] ?? 0) - fair) < 6 * fair.squareRoot() + 1) }
        #expect(moved.count == min(count - 1, 49))
    }

    @Test func `sticky does not depend on the order of the pool`() {
        let all = (0..<9).map { Samples.candidate($0) }
        let forwards = Samples.snapshot(all, .sticky)
        let backwards = Samples.snapshot(all.reversed(), .sticky)
        for recipient in 0..<1000 {
            let question = Samples.question(recipient: recipient)
            #expect(Router.decide(question, in: forwards).sender == Router.decide(question, in: backwards).sender)
        }
    }

    @Test func `weights hold within 1 percent over 100,000 draws, and the same seeds draw the same`() {
        let weights = [1, 2, 3, 0, 14]
        let members = weights.enumerated().map { Pool.Member(Samples.sender($0), weight: $1) }
        let snapshot = Samples.snapshot(weights.indices.map { Samples.candidate($0) }, .weighted, members: members)
        func draw(_ seed: UInt64) -> [Sender.ID: Int] {
            var generator = SeededGenerator(seed)
            var drawn: [Sender.ID: Int] = [:]
            for _ in 0..<100_000 {
                guard let sender = Router.decide(Samples.question(seed: generator.next()), in: snapshot).sender else { continue }
                drawn[sender, default: 0] += 1
            }
            return drawn
        }
        let drawn = draw(7)
        for (place, weight) in weights.enumerated() {
            #expect(abs(Double(drawn[Samples.sender(place)] ?? 0) / 100_000 - Double(weight) / 20) < 0.01)
        }
        #expect(drawn == draw(7))
        #expect(drawn != draw(8))
    }

    @Test func `consecutive seeds are as good as random ones`() {
        let snapshot = Samples.snapshot((0..<10).map { Samples.candidate($0) }, .random)
        var drawn: [Sender.ID: Int] = [:]
        for seed in 0..<100_000 as Range<UInt64> {
            guard let sender = Router.decide(Samples.question(seed: seed), in: snapshot).sender else { continue }
            drawn[sender, default: 0] += 1
        }
        for place in 0..<10 { #expect(abs(Double(drawn[Samples.sender(place)] ?? 0) / 100_000 - 0.1) < 0.01) }
    }

    @Test func `what was routed counts at once, so that a burst spreads over the limits`() {
        var snapshot = Samples.snapshot((0..<5).map { Samples.candidate($0, limits: EffectiveLimits(perSecond: 10)) }, .priority)
        var chosen: [Sender.ID: Int] = [:]
        for recipient in 0..<50 {
            let decision = Router.decide(Samples.question(recipient: recipient), in: snapshot)
            guard let sender = decision.sender else { continue }
            #expect(!decision.isWaiting)
            chosen[sender, default: 0] += 1
            snapshot.reserve(sender, pool: decision.pool, isCold: true, at: Samples.now)
        }
        #expect(chosen.count == 5 && chosen.values.allSatisfy { $0 == 10 })
        let next = Router.decide(Samples.question(recipient: 51), in: snapshot)
        #expect(next.isWaiting && next.limitedBy == .perSecond && next.availableAt == Samples.now.addingTimeInterval(1))
    }
}
