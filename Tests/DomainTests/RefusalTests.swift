@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct RefusalTests {
    @Test func `463: never again to this recipient over this sender, no new chats for a day, and the message waits for another sender`() async throws
    {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()
            try await test.setMovable(message.id, true)

            let changed = try await test.refuse(message, .newChatLimit, 463, .elsewhere, .newChatRefused(until: nil))

            #expect(changed == [message.id])
            #expect(
                try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'accepted' AND sender_id = ANY (excluded) AND due_at = expires_at")
                    == 1)
            #expect(try await test.count("SELECT 1 AS one FROM sender_recipients WHERE refused_at = \(test.now)") == 1)
            #expect(try await test.count("SELECT 1 AS one FROM sender_health WHERE new_chats_until = \(test.now.addingTimeInterval(86_400))") == 1)
            test.clock.advance(by: 3_600)
            #expect(try await test.claim(owner).isEmpty)
            #expect(try await test.gateway.messages.find(message.id, account: account)?.status == .queued)
        }
    }

    @Test func `463 for a message that named its sender is the end of it`() async throws {
        try await withTestGateway { test in
            let (account, _, message) = try await test.onWire()
            try await test.setMovable(message.id, false)

            _ = try await test.refuse(message, .newChatLimit, 463, .elsewhere, .newChatRefused(until: nil))

            let view = try #require(try await test.gateway.messages.find(message.id, account: account))
            #expect(view.status == .failed && view.failure?.code == .newChatLimit)
            #expect(try await test.count("SELECT 1 AS one FROM sender_recipients WHERE refused_at IS NOT NULL") == 1)
        }
    }

    @Test func `403: once more after an hour, then it has failed`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()
            try await test.setMovable(message.id, false)

            _ = try await test.refuse(message, .notAllowed, 403, .once(at: test.now.addingTimeInterval(3_600)))
            let early = try await test.claim(owner)
            test.clock.advance(by: 3_601)
            let again = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(again, owner: owner, now: test.now)
            _ = try await test.refuse(again, .notAllowed, 403, .once(at: test.now.addingTimeInterval(3_600)))

            #expect(early.isEmpty && again.wireID == message.wireID && again.dispatch.refusals == 1)
            #expect(try await test.gateway.messages.find(message.id, account: account)?.failure?.code == .notAllowed)
        }
    }

    @Test func `429: the sender pauses and the message is due when the pause ends; pauses grow and are forgotten`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()
            _ = try await test.accept(account)
            let other = try #require(try await test.claim(owner).first)

            _ = try await test.refuse(message, .rateLimited, 429, .retry(at: test.now), .rateLimited)
            #expect(try await test.gateway.health.record(.rateLimited, of: owner, now: test.now))
            let paused = test.now.addingTimeInterval(30)
            #expect(try await test.pause(owner) == paused)
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'accepted' AND due_at = \(paused)") == 1)
            await #expect(throws: PreWireRefusal.overLimit) { try await test.gateway.outbox.preWire(other, owner: owner, now: test.now) }
            _ = try await test.accept(account)
            #expect(try await test.claim(owner).isEmpty)

            test.clock.advance(by: 31)
            #expect(try await test.claim(owner).count == 3)
            _ = try await test.gateway.health.record(.rateLimited, of: owner, now: test.now)
            #expect(try await test.pause(owner) == test.now.addingTimeInterval(60))
            test.clock.advance(by: 60 + 1_201)
            _ = try await test.gateway.health.record(.rateLimited, of: owner, now: test.now)
            #expect(try await test.pause(owner) == test.now.addingTimeInterval(30))
            for _ in 0..<12 {
                test.clock.advance(by: try #require(try await test.pause(owner)).timeIntervalSince(test.now) + 1)
                _ = try await test.gateway.health.record(.rateLimited, of: owner, now: test.now)
            }
            #expect(try await test.pause(owner) == test.now.addingTimeInterval(3_600))
        }
    }

    @Test func `a ban holds until its end, a demotion until it is taken back, and a stale epoch changes nothing`() async throws {
        try await withTestGateway { test in
            let (_, _, owner) = try await test.makeReadySender()
            let stale = OwnedSender(account: owner.account, sender: owner.sender, epoch: owner.epoch - 1)
            let end = test.now.addingTimeInterval(7_200)

            #expect(try await test.gateway.health.record(.banned(until: end), of: stale, now: test.now) == false)
            #expect(try await test.count("SELECT 1 AS one FROM sender_health") == 0)
            #expect(try await test.gateway.health.record(.banned(until: end), of: owner, now: test.now))
            _ = try await test.gateway.health.record(.receiptsMissing(until: end), of: owner, now: test.now)

            let standing = try #require(try await test.gateway.outbox.standings([owner]).first)
            #expect(
                standing.health.pausedUntil == end && standing.health.pauseCode == "temporarily_banned" && standing.health.isDemoted(at: test.now))
            test.clock.advance(by: 60)
            _ = try await test.gateway.health.record(.receiptsBack, of: owner, now: test.now)
            _ = try await test.gateway.health.record(.receiptsMissing(until: end), of: owner, now: test.now)
            #expect(try await test.gateway.outbox.standings([owner]).first?.health.isDemoted(at: test.now) == false)
        }
    }

    @Test func `an attempt tells where its time went`() async throws {
        try await withTestGateway { test in
            let (_, _, owner) = try await test.makeReadySender()
            _ = try await test.accept(owner.account)
            let accepted = test.now
            test.clock.advance(by: 2)
            let message = try #require(try await test.claim(owner).first)
            test.clock.advance(by: 1)
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now)
            let timings = AttemptTimings(resolve: .milliseconds(120), encrypt: .milliseconds(3), commit: .microseconds(4_600))
            _ = try await test.gateway.outbox.acknowledge(
                Acknowledged(message: message.id, owner: owner, wireID: message.wireID, timings: timings), now: test.now)
            test.clock.advance(by: 1)
            _ = try await test.gateway.outbox.recordReceipts(
                [ReceiptRecord(owner: owner, wireID: message.wireID, kind: .delivered, at: test.now)], now: test.now)

            #expect(
                try await test.count(
                    """
                    SELECT 1 AS one FROM message_attempts
                    WHERE due_at = \(accepted) AND claimed_at = \(accepted.addingTimeInterval(2)) AND wire_at = \(accepted.addingTimeInterval(3))
                      AND resolve_ms = 120 AND encrypt_ms = 3 AND commit_ms = 5 AND receipt_at = \(test.now)
                    """) == 1)
        }
    }
}

extension TestGateway {
    fileprivate func setMovable(_ id: Message.ID, _ isMovable: Bool) async throws {
        try await owner.execute("test.movable", "UPDATE outbox SET movable = \(isMovable) WHERE message_id = \(id)")
    }

    fileprivate func refuse(
        _ message: ClaimedMessage, _ failure: MessageFailure.Code, _ code: Int, _ course: Refused.Course, _ health: Health.Finding? = nil
    ) async throws -> [Message.ID] {
        try await gateway.outbox.refused(
            [Refused(message: message.id, owner: message.owner, failure: failure, serverCode: code, course: course, health: health)], now: now)
    }

    fileprivate func pause(_ owner: OwnedSender) async throws -> Date? { try await gateway.outbox.standings([owner]).first?.health.pausedUntil }
}
