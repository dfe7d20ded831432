@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct ClosingTests {
    @Test func `after closing no table holds a row of the account, and another account's messages still flow`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let (other, _, otherOwner) = try await test.makeReadySender()
            let key = try await test.gateway.apiKeys.create(account: account, label: "shop", test: true, now: test.now)
            _ = try await test.gateway.messages.accept(
                test.message(reference: "order-17"), caller: Caller(account: account, isTest: true), idempotencyKey: IdempotencyKey("k"),
                now: test.now)
            let message = try #require(try await test.claim(owner).first)
            let bytes = [UInt8](repeating: 7, count: 16)
            let id = owner.sender
            var writes = ["signal_sessions", "signal_identities"].map { table in
                Statement("test.signal", "INSERT INTO \(unescaped: table) VALUES (\(account), \(id), \(bytes), \(bytes), \(bytes), now())")
            }
            writes.append(Statement("test.device", "INSERT INTO sender_devices VALUES (\(account), \(id), \(bytes), now())"))
            writes.append(Statement("test.prekey", "INSERT INTO prekeys VALUES (\(account), \(id), 1, false, \(bytes))"))
            writes.append(Statement("test.sent", "INSERT INTO sent_messages VALUES (\(account), \(message.id), \(id), \(bytes))"))
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: writes)
            try await test.gateway.contacts.store(.contact, key: "628123456789", payload: [1], account: account, now: test.now)
            _ = try await test.gateway.outbox.acknowledge(Acknowledged(message: message.id, owner: owner, wireID: message.wireID), now: test.now)
            #expect(try await test.gateway.apiKeys.authenticate(key.secret, now: test.now).account == account)

            #expect(try await test.gateway.closing.begin(account, now: test.now))
            await #expect(throws: AuthenticationFailure.revoked) { try await test.gateway.apiKeys.authenticate(key.secret, now: test.now) }
            let refusal = await #expect(throws: AcceptFailure.self) { _ = try await test.accept(account) }
            guard case .unlinking(senders: 1) = try await test.gateway.closing.advance(account, now: test.now) else {
                throw TestFailure("the owner has not unlinked the sender yet")
            }
            #expect(try await test.gateway.leases.renew(node: "node-1", owned: [owner]).first?.state == .removing)
            #expect(try await test.gateway.senders.purge(owner, now: test.now))
            let now = test.now
            let receipt = try #require(try await test.gateway.closing.close(account, pause: .zero, now: { now }))

            #expect(refusal?.code == .accountClosed)
            let tables = try await test.owner.query(
                "test.tables",
                """
                SELECT c.relname::text AS name
                FROM pg_class c
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'account_id'
                WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
                """, as: { try $0.column("name", as: String.self) })
            #expect(tables.count > 20)
            for table in tables {
                #expect(try await test.count("SELECT 1 AS one FROM \(unescaped: table) WHERE account_id = \(account)") == 0, "\(table)")
            }
            #expect(receipt.counts["messages"] == 1 && receipt.counts["accounts"] == 1 && receipt.counts["account_data_keys"] == 1)
            #expect(receipt.backupsUnreadableAt == test.now.addingTimeInterval(28 * 86_400))
            await #expect(throws: AuthenticationFailure.unknown) {
                try await test.gateway.apiKeys.authenticate(key.secret, now: test.now.addingTimeInterval(5))
            }
            _ = try await test.accept(other)
            #expect(try await test.claim(otherOwner).count == 1)
            #expect(try await test.gateway.accounts.list().map(\.id) == [other])
        }
    }

    @Test func `an owner that never answers does not stop a closing`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            #expect(try await test.gateway.closing.begin(account, patience: 60, now: test.now))
            #expect(try await test.gateway.closing.open() == [account])
            test.clock.advance(by: 61)

            var receipt: DeletionReceipt?
            while receipt == nil {
                if case .done(let done) = try await test.gateway.closing.advance(account, now: test.now) { receipt = done }
            }

            #expect(receipt?.counts["senders"] == 1)
            #expect(try await test.gateway.closing.open().isEmpty)
            await #expect(throws: AccountGone.self) { _ = try await test.gateway.accounts.sealer(for: account) }
        }
    }
}
