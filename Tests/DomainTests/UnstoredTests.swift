@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct UnstoredTests {
    @Test func `what is not stored is erased when the last addressed device has it, also by the sender's next node`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await Self.onWire(test, devices: [0, 12])
            let elsewhere = Gateway(databases: test.gateway.databases, keyRing: test.keyRing, logger: .silent, now: { test.clock.now })

            _ = try await test.gateway.outbox.recordReceipts([Self.receipt(message, owner, device: 0)], now: test.now)
            _ = try await test.gateway.outbox.recordReceipts([Self.receipt(message, owner, device: 0, .read)], now: test.now)
            let between = try await Self.texts(test)
            _ = try await elsewhere.outbox.recordReceipts([Self.receipt(message, owner, device: 12)], now: test.now)

            #expect(message.dispatch.isStored == false && between == 2)
            #expect(try await Self.texts(test) == 0)
            #expect(try await test.count("SELECT 1 AS one FROM awaited_devices") == 0)
            let view = try await test.gateway.messages.find(message.id, account: account)
            #expect(view?.status == .read && view?.store == MessageStore.none)
        }
    }

    @Test func `what is not stored is erased after 72 hours, and not before, when a device never reports`() async throws {
        try await withTestGateway { test in
            let (_, owner, message) = try await Self.onWire(test, devices: [0, 12])
            _ = try await test.gateway.outbox.recordReceipts([Self.receipt(message, owner, device: 0)], now: test.now)

            test.clock.advance(by: 72 * 3_600 - 1)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            let early = try await Self.texts(test)
            test.clock.advance(by: 1)
            _ = try await test.gateway.retention.runHourly(now: test.now)

            #expect(early == 2)
            #expect(try await Self.texts(test) == 0)
            #expect(try await test.count("SELECT 1 AS one FROM awaited_devices") == 0)
        }
    }

    @Test func `the hourly job erases what was canceled or missed, and nothing that is stored or still waits`() async throws {
        try await withTestGateway { test in
            let (account, owner, message) = try await Self.onWire(test, devices: [])
            let canceled = try await Self.accept(test, account)
            _ = try await test.gateway.messages.cancel(canceled.id, account: account, now: test.now)
            let waiting = try await Self.accept(test, account)
            let stored = try await test.accept(account)
            // No device was named, so no receipt takes one off the list.
            _ = try await test.gateway.outbox.recordReceipts([Self.receipt(message, owner, device: 0)], now: test.now)

            _ = try await test.gateway.retention.runHourly(now: test.now)

            let left = try await test.owner.query(
                "test.left", "SELECT message_id FROM message_bodies ORDER BY message_id", as: { try $0.column("message_id", as: Message.ID.self) })
            #expect(Set(left) == [waiting.id, stored.id])
        }
    }

    private static func accept(_ test: TestGateway, _ account: Account.ID) async throws -> MessageView {
        let message = try SendMessage(to: "+628123456789", body: "x", store: "none", now: test.now)
        return try await test.gateway.messages.accept(
            message, caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now
        ).message
    }

    private static func onWire(
        _ test: TestGateway, devices: [Int]
    ) async throws -> (account: Account.ID, owner: OwnedSender, message: ClaimedMessage) {
        let (account, _, owner) = try await test.makeReadySender()
        _ = try await accept(test, account)
        guard let message = try await test.claim(owner).first else { throw TestFailure("nothing was claimed") }
        let kept = DeviceWrites(sessions: [], identities: [], sentMessage: [1])
        // Its sender's receipts were looked at before: nothing is known yet.
        _ = try await test.gateway.outbox.recordReceipts([receipt(message, owner, device: 0)], now: test.now)
        try await test.gateway.outbox.preWire(
            message, owner: owner, now: test.now, writes: [Outbox.awaiting(devices, for: message)], device: kept)
        return (account, owner, message)
    }

    private static func receipt(
        _ message: ClaimedMessage, _ owner: OwnedSender, device: Int, _ kind: ReceiptRecord.Kind = .delivered
    ) -> ReceiptRecord {
        ReceiptRecord(owner: owner, wireID: message.wireID, kind: kind, at: Date(timeIntervalSince1970: 1_780_000_000), device: device)
    }

    /// Bodies and plaintexts kept for retry receipts.
    private static func texts(_ test: TestGateway) async throws -> Int {
        try await test.count("SELECT message_id FROM message_bodies UNION ALL SELECT message_id FROM sent_messages")
    }
}
