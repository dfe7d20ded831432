@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct AcceptTests {
    @Test func `a hundred parallel requests with one key make one message`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let key = try IdempotencyKey("order-17")
            let message = try test.message()

            let answers = try await withThrowingTaskGroup(of: Accepted.self) { group in
                for _ in 0..<100 {
                    group.addTask { try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: key, now: test.now) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }

            #expect(Set(answers.map(\.message.id)).count == 1)
            #expect(answers.count { !$0.replayed } == 1)
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 1)
            #expect(try await test.count("SELECT 1 AS one FROM outbox") == 1)
            let id = try #require(answers.first?.message.id)
            #expect(try await test.gateway.messages.events(id, account: account)?.map(\.kind) == [.queued])
        }
    }

    @Test func `the same key with another body is refused, and after 72 hours it is free again`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let key = try IdempotencyKey("order-17")
            let first = try await test.gateway.messages.accept(test.message(), caller: caller, idempotencyKey: key, now: test.now)

            let refusal = await #expect(throws: AcceptFailure.self) {
                _ = try await test.gateway.messages.accept(test.message("other"), caller: caller, idempotencyKey: key, now: test.now)
            }
            test.clock.advance(by: 72 * 3600 + 1)
            let later = try await test.gateway.messages.accept(test.message("other"), caller: caller, idempotencyKey: key, now: test.now)

            #expect(refusal?.code == .idempotencyKeyReused)
            #expect(!later.replayed && later.message.id != first.message.id)
        }
    }

    @Test func `a replay answers as the first time even when the message has moved on`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let key = try IdempotencyKey("order-17")
            let first = try await test.gateway.messages.accept(test.message(), caller: caller, idempotencyKey: key, now: test.now)
            let message = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: [])

            let again = try await test.gateway.messages.accept(test.message(), caller: caller, idempotencyKey: key, now: test.now)

            #expect(again.replayed && again.message.status == .queued && again.message.id == first.message.id)
            #expect(again.message.createdAt == first.message.createdAt && again.message.route.reason == first.message.route.reason)
        }
    }

    @Test func `messages of several accounts share a commit and stay apart`() async throws {
        try await withTestGateway { test in
            let (one, _, _) = try await test.makeReadySender()
            let (two, _, _) = try await test.makeReadySender()
            let key = try IdempotencyKey("same-key")
            let message = try test.message()

            let answers = try await withThrowingTaskGroup(of: Accepted.self) { group in
                for account in [one, two] {
                    group.addTask {
                        try await test.gateway.messages.accept(
                            message, caller: Caller(account: account, isTest: true), idempotencyKey: key, now: test.now)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }

            #expect(answers.allSatisfy { !$0.replayed } && Set(answers.map(\.message.id)).count == 2)
            for answer in answers {
                let other = answer.message.account == one ? two : one
                #expect(try await test.gateway.messages.find(answer.message.id, account: other) == nil)
                #expect(try await test.gateway.messages.events(answer.message.id, account: other) == nil)
            }
        }
    }

    @Test func `turns go round the pool, test keys never reach live senders, and a named sender is taken`() async throws {
        try await withTestGateway { test in
            let (account, first, _) = try await test.makeReadySender()
            let (_, second, _) = try await test.makeReadySender(account: account, label: "CS 2")
            let live = try await test.gateway.senders.create(account: account, label: "live", test: false, now: test.now)
            test.gateway.routing.forget(account)
            let caller = Caller(account: account, isTest: true)

            var chosen: [Sender.ID?] = []
            for _ in 0..<4 {
                let answer = try await test.gateway.messages.accept(test.message(), caller: caller, idempotencyKey: nil, now: test.now)
                chosen.append(answer.message.sender?.id)
            }
            let named = try SendMessage(to: "+628123456789", body: "x", sender: "\(second)", now: test.now)
            let answer = try await test.gateway.messages.accept(named, caller: caller, idempotencyKey: nil, now: test.now)
            let wrong = try SendMessage(to: "+628123456789", body: "x", sender: "\(live.id)", now: test.now)
            let refusal = await #expect(throws: AcceptFailure.self) {
                _ = try await test.gateway.messages.accept(wrong, caller: caller, idempotencyKey: nil, now: test.now)
            }

            #expect(Set(chosen.compactMap { $0 }) == [first, second] && chosen[0] == chosen[2] && chosen[0] != chosen[1])
            #expect(answer.message.sender?.id == second && answer.message.route.policy == .explicit)
            #expect(refusal?.code == .noSender)
        }
    }

    @Test func `a list is newest first, filtered, and continues where it stopped`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            var ids: [Message.ID] = []
            for number in 0..<5 {
                test.clock.advance(by: 1)
                let message = try test.message(to: "+62812345678\(number)", reference: "order-\(number)")
                ids.append(try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now).message.id)
            }

            let first = try await test.gateway.messages.list(page: PageRequest(limit: 3), account: account)
            let rest = try await test.gateway.messages.list(page: PageRequest(limit: 3, after: first.next), account: account)
            let one = try await test.gateway.messages.list(MessageFilter(recipient: E164("+628123456782")), account: account)
            let referenced = try await test.gateway.messages.list(MessageFilter(status: .queued, reference: Reference("order-4")), account: account)

            #expect(first.data.map(\.id) + rest.data.map(\.id) == ids.reversed() && rest.next == nil)
            #expect(one.data.map(\.id) == [ids[2]] && referenced.data.map(\.id) == [ids[4]])
        }
    }
}
