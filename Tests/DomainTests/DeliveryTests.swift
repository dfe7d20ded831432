@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct DeliveryTests {
    @Test func `a message goes from queued to read, its timeline numbered, with delivered filled in`() async throws {
        try await withTestGateway { test in
            let (account, sender, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            let accepted = try await test.gateway.messages.accept(
                test.message(reference: "order-17"), caller: caller, idempotencyKey: nil, now: test.now)

            let claimed = try await test.claim(owner)
            let message = try #require(claimed.first)
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: [])
            let acknowledged = try await test.gateway.outbox.acknowledge(
                Acknowledged(message: message.id, owner: owner, wireID: message.wireID), now: test.now)
            let receipts = [ReceiptRecord.Kind.read, .delivered].map { ReceiptRecord(owner: owner, wireID: message.wireID, kind: $0, at: test.now) }
            let rose = try await test.gateway.outbox.recordReceipts(receipts, now: test.now)
            let late = try await test.gateway.outbox.recordReceipts([receipts[1]], now: test.now)

            #expect(claimed.count == 1)
            #expect(message.id == accepted.message.id && message.wireID == accepted.message.wireID)
            #expect(message.body.value == "Kode Anda 123456" && message.recipient.text == "+628123456789")
            #expect(acknowledged && rose == [message.id] && late.isEmpty)
            let events = try #require(try await test.gateway.messages.events(message.id, account: account))
            #expect(events.map(\.kind) == [.queued, .sending, .sent, .delivered, .read])
            #expect(events.map(\.number) == [1, 2, 3, 4, 5])
            let view = try #require(try await test.gateway.messages.find(message.id, account: account))
            #expect(view.status == .read && view.sender?.id == sender && view.sender?.label == "CS 1" && view.reference == "order-17")
            #expect(view.metadata == ["k": "v"] && view.deliveredAt != nil && view.attempts == 1)
            #expect(try await test.count("SELECT 1 AS one FROM outbox") == 0)
        }
    }

    @Test func `a receipt that comes before the acknowledgement implies sent`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()

            _ = try await test.gateway.outbox.recordReceipts(
                [ReceiptRecord(owner: owner, wireID: message.wireID, kind: .delivered, at: test.now)], now: test.now)
            let acknowledged = try await test.gateway.outbox.acknowledge(
                Acknowledged(message: message.id, owner: owner, wireID: message.wireID), now: test.now)

            #expect(!acknowledged)
            let events = try await test.gateway.messages.events(message.id, account: account)
            #expect(events?.map(\.kind) == [.queued, .sending, .sent, .delivered])
        }
    }

    @Test func `when the ratchet write fails nothing is on the wire, and the message can be claimed again`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            _ = try await test.accept(account)
            let message = try #require(try await test.claim(owner).first)

            let broken = Statement("test.broken", "INSERT INTO prekeys VALUES (\(account), \(owner.sender), 0, false, '')")
            await #expect(throws: DatabaseError.self) {
                try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: [broken])
            }

            #expect(try await test.gateway.messages.find(message.id, account: account)?.status == .queued)
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: [])
            #expect(try await test.gateway.messages.find(message.id, account: account)?.status == .sending)
        }
    }

    @Test func `messages that are at the wire in one moment share a commit, and one whose writes fail fails alone`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let (other, _, otherOwner) = try await test.makeReadySender()
            for _ in 0..<4 {
                _ = try await test.accept(account)
                _ = try await test.accept(other)
            }
            let claimed = try await test.claim(owner) + test.claim(otherOwner)
            let spoiled = claimed[3].id
            let broken = Statement("test.broken", "INSERT INTO prekeys VALUES (\(account), \(owner.sender), 0, false, '')")

            let failed = await withTaskGroup(of: Message.ID?.self) { group in
                for message in claimed {
                    group.addTask {
                        do {
                            let writes = message.id == spoiled ? [broken] : []
                            try await test.gateway.outbox.preWire(message, owner: message.owner, now: test.now, writes: writes)
                            return nil
                        } catch { return message.id }
                    }
                }
                var failed: [Message.ID] = []
                for await id in group { if let id { failed.append(id) } }
                return failed
            }

            #expect(claimed.count == 8 && failed == [spoiled])
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'on_wire'") == 7)
            #expect(try await test.count("SELECT 1 AS one FROM message_events WHERE kind = 'sending'") == 7)
        }
    }

    @Test func `under an epoch that is over no verb changes anything`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()
            let stale = OwnedSender(account: owner.account, sender: owner.sender, epoch: owner.epoch - 1)
            _ = try await test.accept(account)

            let acknowledged = try await test.gateway.outbox.acknowledge(
                Acknowledged(message: message.id, owner: stale, wireID: message.wireID), now: test.now)
            let refused = try await test.gateway.outbox.refused([Refused(message: message.id, owner: stale, failure: .refused)], now: test.now)
            let unknown = try await test.gateway.outbox.unknown([Unknown(message: message.id, owner: stale, retryAt: test.now)], now: test.now)
            let receipts = try await test.gateway.outbox.recordReceipts(
                [ReceiptRecord(owner: stale, wireID: message.wireID, kind: .read, at: test.now)], now: test.now)
            let claimed = try await test.claim(stale)

            #expect(!acknowledged && refused.isEmpty && unknown.isEmpty && receipts.isEmpty && claimed.isEmpty)
            #expect(try await test.gateway.senders.recordState(stale, .parked, now: test.now) == false)
            #expect(try await test.gateway.senders.purge(stale, now: test.now) == false)
            #expect(try await test.gateway.leases.renew(node: "node-1", owned: [stale]).isEmpty)
            let next = try #require(try await test.claim(owner).first)
            await #expect(throws: PreWireRefusal.lostLease) {
                try await test.gateway.outbox.preWire(next, owner: stale, now: test.now, writes: [])
            }
            #expect(try await test.gateway.messages.find(message.id, account: account)?.status == .sending)
        }
    }

    @Test func `a refusal with a later time retries on the same sender, one without is the end`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()

            _ = try await test.gateway.outbox.refused(
                [Refused(message: message.id, owner: owner, failure: .rateLimited, serverCode: 429, retryAt: test.now.addingTimeInterval(60))],
                now: test.now)
            let early = try await test.claim(owner)
            test.clock.advance(by: 61)
            let again = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(again, owner: owner, now: test.now, writes: [])
            _ = try await test.gateway.outbox.refused([Refused(message: message.id, owner: owner, failure: .refused, serverCode: 406)], now: test.now)

            #expect(early.isEmpty && again.wireID == message.wireID && again.attempt == 1)
            let events = try await test.gateway.messages.events(message.id, account: account)
            #expect(events?.map(\.kind) == [.queued, .sending, .retrying, .sending, .failed])
            #expect(try await test.gateway.messages.find(message.id, account: account)?.failure?.code == .refused)
        }
    }

    @Test func `without an acknowledgement the same id leaves at most three times, then it is unconfirmed`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()

            var ids: Set<String> = [message.wireID]
            for _ in 2...3 {
                test.clock.advance(by: 80)
                #expect(try await test.gateway.outbox.sweep(now: test.now) == Swept())
                let again = try #require(try await test.claim(owner).first)
                #expect(again.onWireBefore)
                ids.insert(again.wireID)
                try await test.gateway.outbox.preWire(again, owner: owner, now: test.now, writes: [])
            }
            test.clock.advance(by: 80)
            let over = try await test.claim(owner)
            let swept = try await test.gateway.outbox.sweep(now: test.now)

            #expect(over.isEmpty && ids.count == 1 && swept.unconfirmed == 1)
            let view = try #require(try await test.gateway.messages.find(message.id, account: account))
            #expect(view.status == .unconfirmed && view.attempts == 3 && view.failure?.code == .noAcknowledgement)
            _ = try await test.gateway.outbox.recordReceipts(
                [ReceiptRecord(owner: owner, wireID: message.wireID, kind: .delivered, at: test.now)], now: test.now)
            #expect(try await test.gateway.messages.find(message.id, account: account)?.status == .delivered)
        }
    }

    @Test func `what a sender had on the wire when WhatsApp unlinked it is unconfirmed after the grace`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()
            let waiting = try await test.accept(account)
            #expect(try await test.gateway.senders.recordState(owner, .loggedOut, now: test.now))

            test.clock.advance(by: SenderState.loggedOutGrace - 1)
            #expect(try await test.gateway.outbox.sweep(now: test.now) == Swept())
            test.clock.advance(by: 1)
            #expect(try await test.gateway.outbox.sweep(now: test.now) == Swept(unconfirmed: 1))

            let view = try #require(try await test.gateway.messages.find(message.id, account: account))
            #expect(view.status == .unconfirmed && view.failure?.code == .noAcknowledgement)
            #expect(try await test.gateway.messages.find(waiting.id, account: account)?.status == .queued)
        }
    }

    @Test func `a claim that ends goes back, too often is poison, and an old message expires`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let poison = try await test.accept(account)
            for round in 1...Outbox.claimLimit {
                #expect(try await test.claim(owner).count == 1)
                test.clock.advance(by: 21)
                let swept = try await test.gateway.outbox.sweep(now: test.now)
                #expect(swept == (round < Outbox.claimLimit ? Swept(returned: 1) : Swept(poisoned: 1)))
            }
            let old = try await test.accept(account)
            test.clock.advance(by: 86_401)

            let swept = try await test.gateway.outbox.sweep(now: test.now)

            #expect(swept == Swept(expired: 1))
            #expect(try await test.gateway.messages.find(poison.id, account: account)?.failure?.code == .poison)
            #expect(try await test.gateway.messages.find(old.id, account: account)?.status == .expired)
        }
    }

    @Test func `a claim that only took too long is no strike: its owner has renewed the lease since`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let slow = try await test.accept(account)
            for _ in 0...Outbox.claimLimit {
                #expect(try await test.claim(owner).map(\.id) == [slow.id])
                for _ in 0..<2 { _ = try await test.gateway.leases.renew(node: "node-1", owned: [owner]) }
                test.clock.advance(by: 21)
                #expect(try await test.gateway.outbox.sweep(now: test.now) == Swept(returned: 1))
            }
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'accepted' AND claims = 0") == 1)
        }
    }

    @Test func `what was in the hands of a process that died is claimed one at a time`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            for _ in 0..<4 { _ = try await test.accept(account) }
            #expect(try await test.claim(owner).count == 4)
            try await test.gateway.leases.release(node: "node-1", owned: [owner])
            let taken = try #require(try await test.gateway.leases.acquire(node: "node-2", limit: 10).first).owner
            let fresh = try await test.accept(account)
            let demands = [ClaimDemand(owner: taken, places: 8)]
            let deadline = test.now.addingTimeInterval(20)

            let found = try await test.gateway.outbox.probe([taken], now: test.now)
            let ordinary = try await test.gateway.outbox.claim(demands, limit: 64, now: test.now, deadline: deadline)
            var alone: [Int] = []
            for _ in 0..<5 {
                alone.append(try await test.gateway.outbox.claim(demands, of: .suspect, limit: 64, now: test.now, deadline: deadline).messages.count)
            }

            #expect(found.map(\.isSuspect) == [true] && ordinary.messages.map(\.id) == [fresh.id])
            #expect(alone == [1, 1, 1, 1, 0])
            #expect(try await test.gateway.outbox.probe([taken], now: test.now).isEmpty)
        }
    }

    @Test func `a take-over frees what was prepared and resends what was on the wire under the same id`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await test.onWire()
            _ = try await test.accept(account)
            #expect(try await test.claim(owner).count == 1)

            try await test.gateway.leases.release(node: "node-1", owned: [owner])
            let taken = try #require(try await test.gateway.leases.acquire(node: "node-2", limit: 10).first)
            let claimed = try await test.claim(taken.owner)

            #expect(taken.owner.epoch == owner.epoch + 1)
            #expect(claimed.count == 2 && claimed.contains { $0.onWireBefore && $0.wireID == message.wireID })
        }
    }

    @Test func `cancel is exact: before the wire it wins, afterwards it is refused`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let first = try await test.accept(account)
            let claimed = try #require(try await test.claim(owner).first)

            guard case .canceled = try await test.gateway.messages.cancel(first.id, account: account, now: test.now) else {
                throw TestFailure("a prepared message can be canceled")
            }
            await #expect(throws: PreWireRefusal.canceled) {
                try await test.gateway.outbox.preWire(claimed, owner: owner, now: test.now, writes: [])
            }
            let second = try await test.accept(account)
            let next = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(next, owner: owner, now: test.now, writes: [])
            guard case .refused = try await test.gateway.messages.cancel(second.id, account: account, now: test.now) else {
                throw TestFailure("a message on the wire cannot be canceled")
            }
        }
    }
}

extension TestGateway {
    func accept(_ account: Account.ID) async throws -> MessageView {
        try await gateway.messages.accept(message(), caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: now).message
    }

    func claim(_ owner: OwnedSender) async throws -> [ClaimedMessage] {
        try await gateway.outbox.claim(limit: 100, owned: [owner], now: now, deadline: now.addingTimeInterval(20))
    }

    func onWire() async throws -> (account: Account.ID, owner: OwnedSender, message: ClaimedMessage) {
        let (account, _, owner) = try await makeReadySender()
        _ = try await accept(account)
        guard let message = try await claim(owner).first else { throw TestFailure("nothing was claimed") }
        try await gateway.outbox.preWire(message, owner: owner, now: now, writes: [])
        return (account, owner, message)
    }
}
