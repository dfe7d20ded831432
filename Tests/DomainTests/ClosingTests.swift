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

            #expect(try await test.gateway.closing.begin(account, now: test.now) != nil)
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
            let id = try #require(try await test.gateway.closing.begin(account, patience: 60, now: test.now))
            #expect(try await test.gateway.closing.open() == [account])
            test.clock.advance(by: 61)

            #expect(try await test.gateway.closing.receipt(id) == nil)
            while case .erasing = try await test.gateway.closing.advance(account, now: test.now) {}

            #expect(try await test.gateway.closing.receipt(id)?.counts["senders"] == 1)
            guard case .gone = try await test.gateway.closing.advance(account, now: test.now) else { throw TestFailure("it ends once") }
            #expect(try await test.gateway.closing.open().isEmpty)
            await #expect(throws: AccountGone.self) { _ = try await test.gateway.accounts.sealer(for: account) }
        }
    }

    @Test func `nodes that close the same account at once all end with the same receipt`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            for _ in 0..<20 { _ = try await test.accept(account) }
            let clock = test.clock
            let receipts = try await withThrowingTaskGroup(of: DeletionReceipt?.self) { group in
                for _ in 0..<6 {
                    group.addTask { try await test.gateway.closing.close(account, patience: 0, pause: .zero, now: { clock.now }) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }

            // One that begins when all is over finds no account.
            let ids = Set(receipts.compactMap { $0?.id })
            #expect(ids.count == 1)
            #expect(receipts.compactMap { $0 }.allSatisfy { $0.counts["messages"] == 20 })
            #expect(try await test.count("SELECT 1 AS one FROM deletion_receipts") == 1)
            #expect(try await test.count("SELECT 1 AS one FROM accounts") == 0)
        }
    }

    @Test func `for a test key an account with something live is not closed`() async throws {
        try await withTestGateway { test in
            let closing = test.gateway.closing
            let (account, _, _) = try await test.makeReadySender()
            let sender = try await test.gateway.senders.create(account: account, label: "Live", test: false, now: test.now)
            await #expect(throws: Closing.LiveAccount.self) { try await closing.begin(account, sparesLive: true, now: test.now) }
            _ = try await test.gateway.senders.remove(sender.id, account: account, now: test.now)
            let key = try await test.gateway.apiKeys.create(account: account, label: "live", test: false, now: test.now).key
            await #expect(throws: Closing.LiveAccount.self) { try await closing.begin(account, sparesLive: true, now: test.now) }
            #expect(try await closing.open().isEmpty)
            _ = try await test.accept(account)

            #expect(try await test.gateway.apiKeys.revoke(key.id, account: account, now: test.now))
            #expect(try await closing.begin(account, sparesLive: true, now: test.now) != nil)
            #expect(try await closing.open() == [account])
        }
    }
}
