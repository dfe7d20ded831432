@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct LimitDebitTests {
    @Test func `a limit holds under concurrency and across a restart, and what is over goes back until it may leave`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<12 { _ = try await test.accept(account) }
            try await test.limit(owner, #"{"per_day": 5}"#)
            let claimed = try await test.gateway.outbox.claim(
                limit: 100, perSender: 100, owned: [owner], now: test.now, deadline: test.now.addingTimeInterval(20))

            let left = await test.preWireAll(claimed)

            #expect(claimed.count == 12 && claimed.allSatisfy(\.dispatch.isLimited) && left.count == 5)
            #expect(try await test.count("SELECT 1 AS one FROM sender_usage WHERE day_used = 5 AND second_used = 5") == 1)
            let midnight = Date(timeIntervalSince1970: (test.now.timeIntervalSince1970 / 86_400).rounded(.up) * 86_400)
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'accepted' AND due_at = \(midnight) AND claims = 0") == 7)

            let restarted = Gateway(databases: test.gateway.databases, keyRing: test.keyRing, logger: .silent, now: { test.now })
            _ = try await test.accept(account)
            let next = try #require(try await test.claim(owner).first)
            await #expect(throws: PreWireRefusal.overLimit) { try await restarted.outbox.preWire(next, owner: owner, now: test.now) }

            test.clock.advance(by: midnight.timeIntervalSince(test.now))
            let tomorrow = try await test.gateway.outbox.claim(
                [ClaimDemand(owner: owner, places: 100)], limit: 100, now: test.now, deadline: test.now.addingTimeInterval(20)
            ).messages
            #expect(tomorrow.count == 8)
            #expect(await test.preWireAll(tomorrow).count == 5)
        }
    }

    @Test func `a gap is kept by the rows, whoever asks`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<2 { _ = try await test.accept(account) }
            try await test.limit(owner, #"{"gap_ms": 30000, "cold_gap_ms": 60000}"#)
            let claimed = try await test.claim(owner)

            let left = await test.preWireAll(claimed)

            #expect(claimed.count == 2 && left.count == 1)
            #expect(try await test.count("SELECT 1 AS one FROM sender_usage WHERE next_at = \(test.now.addingTimeInterval(60))") == 1)
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE due_at = \(test.now.addingTimeInterval(60))") == 1)
            _ = try await test.accept(account)
            let early = try await test.gateway.outbox.claim(
                [ClaimDemand(owner: owner, places: 1, isLimited: true)], limit: 1, now: test.now, deadline: test.now.addingTimeInterval(20))
            #expect(early.messages.isEmpty && early.standings.first?.usage.nextAt == test.now.addingTimeInterval(60))
        }
    }

    @Test func `what could not leave is not debited`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let first = try await test.accept(account)
            try await test.limit(owner, #"{"per_day": 1}"#)
            let claimed = try #require(try await test.claim(owner).first)
            _ = try await test.gateway.messages.cancel(first.id, account: account, now: test.now)

            await #expect(throws: PreWireRefusal.canceled) { try await test.gateway.outbox.preWire(claimed, owner: owner, now: test.now) }
            _ = try await test.accept(account)
            let second = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(second, owner: owner, now: test.now)

            #expect(try await test.count("SELECT 1 AS one FROM sender_usage WHERE day_used = 1") == 1)
        }
    }

    @Test func `a pool's limit counts over all its senders`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let (_, _, other) = try await test.makeReadySender(account: account, label: "CS 2")
            for _ in 0..<8 { _ = try await test.accept(account) }
            try await test.owner.execute("test.limits", "UPDATE pools SET limits = '{\"per_hour\": 3}'")
            let claimed = try await test.claim(owner) + test.claim(other)

            let left = await test.preWireAll(claimed)

            #expect(claimed.count == 8 && left.count == 3)
            #expect(try await test.count("SELECT 1 AS one FROM pool_usage WHERE hour_used = 3") == 1)
        }
    }

    @Test func `the first message to somebody is cold, later ones are warm and write nothing`() async throws {
        try await withTestGateway { test in
            let (account, owner, first) = try await test.onWire()
            _ = try await test.accept(account)
            let second = try #require(try await test.claim(owner).first)
            test.clock.advance(by: 90_000)
            _ = try await test.accept(account)
            let third = try #require(
                try await test.gateway.outbox.claim(
                    [ClaimDemand(owner: owner, places: 8)], limit: 8, now: test.now, deadline: test.now.addingTimeInterval(20)
                ).messages.last)

            #expect(first.dispatch.isCold && first.dispatch.isGreetingDue)
            #expect(!second.dispatch.isCold && !second.dispatch.isGreetingDue)
            #expect(!third.dispatch.isCold && third.dispatch.isGreetingDue)
        }
    }

    @Test func `cancel and pre-wire race for each message and exactly one of them wins`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<40 { _ = try await test.accept(account) }
            let claimed = try await test.gateway.outbox.claim(
                limit: 100, perSender: 100, owned: [owner], now: test.now, deadline: test.now.addingTimeInterval(20))

            let canceled = Task {
                var canceled: Set<Message.ID> = []
                for message in claimed.reversed() {
                    if case .canceled = try await test.gateway.messages.cancel(message.id, account: account, now: test.now) {
                        canceled.insert(message.id)
                    }
                }
                return canceled
            }
            let left = Set(await test.preWireAll(claimed))
            let both = try await canceled.value

            #expect(left.isDisjoint(with: both) && left.union(both).count == 40)
            #expect(try await test.count("SELECT 1 AS one FROM messages WHERE state = 'on_wire'") == left.count)
            #expect(try await test.count("SELECT 1 AS one FROM messages WHERE state = 'canceled'") == both.count)
        }
    }
}

extension TestGateway {
    func limit(_ owner: OwnedSender, _ limits: String) async throws {
        try await self.owner.execute("test.limits", "UPDATE senders SET limits = \(limits)::jsonb WHERE sender_id = \(owner.sender)")
    }

    /// All at once; those that left.
    func preWireAll(_ claimed: [ClaimedMessage]) async -> [Message.ID] {
        await withTaskGroup(of: Message.ID?.self) { group in
            for message in claimed {
                group.addTask {
                    do {
                        try await gateway.outbox.preWire(message, owner: message.owner, now: now)
                        return message.id
                    } catch { return nil }
                }
            }
            return await group.reduce(into: []) { if let id = $1 { $0.append(id) } }
        }
    }
}
