@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct MessageLifeTests {
    @Test(
        arguments: [
            ("send_at in the past", -60.0, nil, nil, "/send_at too_early"), ("31 days ahead", 31 * 86_400, nil, nil, "/send_at too_late"),
            ("expires before it is sent", 3_600, 1_800, nil, "/expires_at too_early"),
            ("lives too long", 3_600, 3_600 + 8 * 86_400.0, nil, "/expires_at too_late"), ("ttl too short", nil, nil, 29, "/ttl too_early"),
            ("ttl too long", nil, nil, 604_801, "/ttl too_late"),
        ] as [(String, Double?, Double?, Int?, String)])
    func `times that do not fit are told with their place`(
        _: String, sendAt: Double?, expiresAt: Double?, ttl: Int?, expected: String
    ) throws {
        let now = Date(timeIntervalSince1970: 1_780_000_000)

        let message = try SendMessage(
            to: "+628123456789", body: "x", sendAt: sendAt.map { now.addingTimeInterval($0) },
            expiresAt: expiresAt.map { now.addingTimeInterval($0) }, ttl: ttl, now: now)

        #expect(message.lateness?.problems.map { "\($0.pointer) \($0.code.rawValue)" } == [expected])
    }

    @Test func `fields that contradict each other are refused with their places`() throws {
        let now = Date(timeIntervalSince1970: 1_780_000_000)

        let error = try #require(throws: InvalidMessage.self) {
            try SendMessage(
                to: "+628123456789", body: "x", sender: "snd_01m7ymjsse0e5szefpc4bcw4b7", policy: "round_robin",
                expiresAt: now.addingTimeInterval(60), ttl: 60, store: "forever", now: now)
        }
        let explicit = try #require(throws: InvalidMessage.self) {
            try SendMessage(to: "+628123456789", body: "x", policy: "explicit", now: now)
        }

        #expect(error.problems.map { "\($0.pointer) \($0.code.rawValue)" } == ["/store invalid_value", "/route/policy conflict", "/ttl conflict"])
        #expect(explicit.problems.map(\.pointer) == ["/route/policy"])
    }

    @Test func `every field of a request has its part in what recognises it`() throws {
        let now = Date(timeIntervalSince1970: 1_780_000_000)
        let later = now.addingTimeInterval(600)
        func canonical(
            sendAt: Date? = nil, expiresAt: Date? = nil, ttl: Int? = nil, failFast: Bool = false, once: Bool = false, store: String? = nil,
            policy: String? = nil, priority: String? = nil, metadata: [String: String]? = nil, at moment: Date? = nil
        ) throws -> [UInt8] {
            try SendMessage(
                to: "+628123456789", body: "x", policy: policy, priority: priority, sendAt: sendAt, expiresAt: expiresAt, ttl: ttl,
                failFast: failFast, atMostOnce: once, store: store, metadata: metadata, now: moment ?? now
            ).canonical
        }

        let plain = try canonical()
        let others = [
            try canonical(sendAt: later), try canonical(expiresAt: later), try canonical(ttl: 600), try canonical(failFast: true),
            try canonical(once: true), try canonical(store: "none"), try canonical(policy: "round_robin"), try canonical(priority: "high"),
            try canonical(metadata: ["send_at": "1780000600000"]), try canonical(metadata: ["fail_fast": "true"]),
            try canonical(metadata: ["store": "none"]),
        ]

        #expect(Set(others + [plain]).count == others.count + 1)
        #expect(try canonical(store: "default", at: later) == plain && canonical(priority: "normal") == plain)
    }

    @Test func `a scheduled message waits, comes due once for two nodes, and is sent with a route of that moment`() async throws {
        try await withTestGateway { test in
            let (account, first, firstOwner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let sendAt = test.now.addingTimeInterval(3_600)
            let key = try IdempotencyKey("later")
            let message = try SendMessage(to: "+628123456789", body: "x", sendAt: sendAt, ttl: 60, now: test.now)

            let accepted = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: key, now: test.now).message
            let early = try await test.gateway.outbox.promote(now: test.now)
            let nothing = try await test.claim(firstOwner)
            let (_, second, secondOwner) = try await test.makeReadySender(account: account, label: "CS 2")
            _ = try await test.gateway.senders.recordState(firstOwner, .parked, now: test.now)
            test.clock.advance(by: 3_600)
            async let one = test.gateway.outbox.promote(now: test.now)
            async let two = test.gateway.outbox.promote(now: test.now)
            let promoted = try await (one, two)
            let claimed = try #require(try await test.claim(secondOwner).first)
            try await test.gateway.outbox.preWire(claimed, owner: secondOwner, now: test.now)
            let replay = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: key, now: test.now)

            #expect(accepted.status == .scheduled && accepted.sendAt == sendAt && accepted.estimatedSendAt == sendAt)
            #expect(accepted.expiresAt == sendAt.addingTimeInterval(60) && accepted.sender?.id == first)
            #expect(early.looked == 0 && nothing.isEmpty && promoted.0.accepted + promoted.1.accepted == 1)
            let view = try #require(try await test.gateway.messages.find(accepted.id, account: account))
            #expect(view.status == .sending && view.sender?.id == second && view.moves == 0)
            #expect(claimed.wireID == view.wireID && view.wireID != accepted.wireID)
            let events = try #require(try await test.gateway.messages.events(accepted.id, account: account))
            #expect(events.map(\.kind) == [.scheduled, .queued, .sending] && events.map(\.number) == [1, 2, 3])
            #expect(replay.replayed && replay.message.status == .scheduled && replay.message.sendAt == sendAt)
        }
    }

    @Test func `a scheduled message can be canceled, and one past its time is never promoted`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let message = try SendMessage(to: "+628123456789", body: "x", sendAt: test.now.addingTimeInterval(100), ttl: 30, now: test.now)
            let first = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now).message
            let second = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now).message

            guard case .canceled = try await test.gateway.messages.cancel(first.id, account: account, now: test.now) else {
                throw TestFailure("a scheduled message can be canceled")
            }
            test.clock.advance(by: 131)
            let promoted = try await test.gateway.outbox.promote(now: test.now)
            let swept = try await test.gateway.outbox.sweep(now: test.now)

            #expect(promoted.changed == 0 && swept.expired == 1)
            #expect(try await test.claim(owner).isEmpty)
            #expect(try await test.gateway.messages.events(second.id, account: account)?.map(\.kind) == [.scheduled, .expired])
        }
    }

    @Test func `a message that is not to wait is refused at once, or fails when it comes due and nobody may send`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let scheduled = try SendMessage(
                to: "+628123456789", body: "x", sendAt: test.now.addingTimeInterval(60), failFast: true, now: test.now)
            let waiting = try await test.gateway.messages.accept(scheduled, caller: caller, idempotencyKey: nil, now: test.now).message
            _ = try await test.gateway.senders.recordState(owner, .parked, now: test.now)
            test.gateway.routing.forget(account)

            let refusal = await #expect(throws: AcceptFailure.self) {
                let message = try SendMessage(to: "+628123456789", body: "x", failFast: true, now: test.now)
                _ = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now)
            }
            test.clock.advance(by: 60)
            let promoted = try await test.gateway.outbox.promote(now: test.now)

            #expect(refusal?.code == .noSenderAvailable)
            #expect(try await test.count("SELECT 1 AS one FROM messages") == 1 && promoted.failed == 1)
            let view = try await test.gateway.messages.find(waiting.id, account: account)
            #expect(view?.status == .failed && view?.failure?.code == .noSenderAvailable && view?.failFast == true)
        }
    }

    @Test func `of a cancel and a pre-wire at the same moment exactly one wins, whatever the order`() async throws {
        try await withTestGateway(connections: 8) { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<40 { _ = try await test.accept(account) }
            var claimed: [ClaimedMessage] = []
            while claimed.count < 40 { claimed += try await test.claim(owner) }

            let outcomes = try await withThrowingTaskGroup(of: (left: Bool, canceled: Bool).self) { group in
                for message in claimed {
                    group.addTask {
                        async let cancellation = test.gateway.messages.cancel(message.id, account: account, now: test.now)
                        var left = true
                        do { try await test.gateway.outbox.preWire(message, owner: owner, now: test.now) } catch is PreWireRefusal { left = false }
                        guard case .canceled = try await cancellation else { return (left, false) }
                        return (left, true)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }

            #expect(outcomes.allSatisfy { $0.left != $0.canceled })
            #expect(try await test.count("SELECT 1 AS one FROM messages WHERE state = 'on_wire'") == outcomes.count { $0.left })
            #expect(try await test.count("SELECT 1 AS one FROM message_events WHERE kind = 'sending'") == outcomes.count { $0.left })
        }
    }

    @Test func `a message that may be written only once is not written again, and ends unconfirmed`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let message = try SendMessage(to: "+628123456789", body: "x", atMostOnce: true, now: test.now)
            let id = try await test.gateway.messages.accept(
                message, caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now
            ).message.id
            let claimed = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(claimed, owner: owner, now: test.now)

            test.clock.advance(by: 80)
            let again = try await test.claim(owner)
            _ = try await test.gateway.outbox.sweep(now: test.now)

            #expect(again.isEmpty)
            #expect(try await test.gateway.messages.find(id, account: account)?.status == .unconfirmed)
        }
    }

    @Test func `nothing is put on the wire after its time, at the claim and right before the wire`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            for _ in 0..<2 {
                let message = try SendMessage(to: "+628123456789", body: "x", ttl: 30, now: test.now)
                _ = try await test.gateway.messages.accept(message, caller: caller, idempotencyKey: nil, now: test.now)
            }
            let claimed = try #require(
                try await test.gateway.outbox.claim(
                    limit: 1, perSender: 1, owned: [owner], now: test.now, deadline: test.now.addingTimeInterval(20)
                ).first)

            test.clock.advance(by: 31)
            await #expect(throws: PreWireRefusal.expired) { try await test.gateway.outbox.preWire(claimed, owner: owner, now: test.now) }
            let late = try await test.claim(owner)
            while try await test.gateway.outbox.sweep(now: test.now).total > 0 {}

            #expect(late.isEmpty)
            #expect(try await test.count("SELECT 1 AS one FROM messages WHERE state = 'expired' AND attempts = 0") == 2)
        }
    }

    @Test func `a body outlives its month only while its message waits, and an old message is not shown`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let sent = try await test.accept(account)
            let far = try SendMessage(
                to: "+628123456789", body: "x", sendAt: test.now.addingTimeInterval(30 * 86_400), ttl: 604_800, now: test.now)
            let waiting = try await test.gateway.messages.accept(far, caller: caller, idempotencyKey: nil, now: test.now).message
            _ = try await test.gateway.messages.cancel(sent.id, account: account, now: test.now)

            test.clock.advance(by: 33 * 86_400)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            let promoted = try await test.gateway.outbox.promote(now: test.now)
            test.clock.advance(by: 332 * 86_400 + 1)

            #expect(promoted.accepted == 1)
            #expect(try await test.count("SELECT 1 AS one FROM message_bodies WHERE message_id = \(sent.id)") == 0)
            #expect(try await test.count("SELECT 1 AS one FROM message_bodies WHERE message_id = \(waiting.id)") == 1)
            #expect(try await test.gateway.messages.find(sent.id, account: account) == nil)
            #expect(try await test.gateway.messages.list(account: account).data.isEmpty)
            #expect(try await test.gateway.messages.events(sent.id, account: account) == nil)
        }
    }
}
