@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct ClaimTests {
    @Test func `however many claim at once, none takes more than it asked for and no message is taken twice`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<60 { _ = try await test.accept(account) }

            let claims = try await withThrowingTaskGroup(of: [Message.ID].self) { group in
                for _ in 0..<12 {
                    group.addTask {
                        try await test.gateway.outbox.claim(
                            [ClaimDemand(owner: owner, places: 7)], limit: 5, now: test.now, deadline: test.now.addingTimeInterval(20)
                        ).messages.map(\.id)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }

            #expect(claims.allSatisfy { $0.count <= 5 })
            #expect(claims.flatMap { $0 }.count == Set(claims.flatMap { $0 }).count)
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'prepared' AND claims = 1") == claims.flatMap { $0 }.count)
        }
    }

    @Test func `a claim of both kinds together takes no more than its limit`() async throws {
        try await withTestGateway { test in
            let (account, owner, _) = try await test.onWire()
            for _ in 0..<6 { _ = try await test.accept(account) }
            test.clock.advance(by: 80)

            let claimed = try await test.gateway.outbox.claim(
                limit: 3, perSender: 2, owned: [owner], now: test.now, deadline: test.now.addingTimeInterval(20))

            #expect(claimed.count == 2 && claimed.count { $0.onWireBefore } == 1)
        }
    }

    @Test func `the highest priority has a lane of its own, and what is due later is passed over`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let normal = try await test.accept(account)
            let later = try await test.accept(account)
            let high = try await test.accept(account)
            try await test.owner.execute("test.high", "UPDATE outbox SET priority = 0 WHERE message_id = ANY (\([later.id, high.id]))")
            try await test.owner.execute(
                "test.later", "UPDATE outbox SET due_at = \(test.now.addingTimeInterval(60)) WHERE message_id = \(later.id)")

            let lane = try await test.gateway.outbox.claim(
                [ClaimDemand(owner: owner, places: 8, highOnly: true)], limit: 64, now: test.now, deadline: test.now.addingTimeInterval(20))
            let rest = try await test.gateway.outbox.claim(
                [ClaimDemand(owner: owner, places: 8)], limit: 64, now: test.now, deadline: test.now.addingTimeInterval(20))

            #expect(lane.messages.map(\.id) == [high.id] && rest.messages.map(\.id) == [normal.id])
        }
    }

    @Test func `a probe finds what is due and what an earlier epoch left, and nothing else`() async throws {
        try await withTestGateway { test in
            let (account, owner, _) = try await test.onWire()
            let quiet = try await test.gateway.outbox.probe([owner], now: test.now)
            _ = try await test.accept(account)
            let due = try await test.gateway.outbox.probe([owner], now: test.now)
            let next = OwnedSender(account: owner.account, sender: owner.sender, epoch: owner.epoch + 1)
            let left = try await test.gateway.outbox.probe([next], now: test.now)

            #expect(quiet.isEmpty)
            #expect(due.count == 1 && due[0].isDue && !due[0].isDueAgain)
            #expect(left.count == 1 && left[0].isDueAgain)
        }
    }

    @Test func `a postponed claim does not count and comes back at its time`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            _ = try await test.accept(account)
            let message = try #require(try await test.claim(owner).first)

            try await test.gateway.outbox.postpone([Postponed(message: message.id, owner: owner, until: test.now.addingTimeInterval(60))])

            #expect(try await test.claim(owner).isEmpty)
            test.clock.advance(by: 61)
            #expect(try await test.claim(owner).count == 1)
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE claims = 1") == 1)
        }
    }

    @Test func `hints name senders, and too many of them mean everywhere`() {
        let few = Set((0..<100).map { _ in DueSender(account: Account.ID(UUID()), sender: Sender.ID(UUID())) })
        let many = Set((0..<200).map { _ in DueSender(account: Account.ID(UUID()), sender: Sender.ID(UUID())) })

        #expect(OutboxHints.payload(for: few).utf8.count <= 7_500)
        #expect(OutboxHints.senders(in: OutboxHints.payload(for: few)) == few)
        #expect(OutboxHints.payload(for: many) == "" && OutboxHints.senders(in: "") == nil && OutboxHints.senders(in: "x:y") == nil)
    }
}
