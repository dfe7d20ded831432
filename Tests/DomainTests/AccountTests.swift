@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct AccountTests {
    @Test func `a key lets its caller in until it is revoked, on every node within five seconds`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let created = try await test.gateway.apiKeys.create(account: account, label: "shop", test: false, scopes: [.send], now: test.now)
            let clock = test.clock
            let node = Gateway(databases: test.gateway.databases, keyRing: test.keyRing, logger: .silent, now: { clock.now })
            let caller = try await node.apiKeys.authenticate(created.secret, now: test.now)

            let revoked = try await test.gateway.apiKeys.revoke(created.key.id, account: account, now: test.now)

            #expect(caller.account == account && caller.scopes == [.send] && !caller.isTest)
            #expect(revoked)
            await #expect(throws: AuthenticationFailure.revoked) { try await test.gateway.apiKeys.authenticate(created.secret, now: test.now) }
            await #expect(throws: AuthenticationFailure.revoked) {
                try await node.apiKeys.authenticate(created.secret, now: test.now.addingTimeInterval(5))
            }
            let listed = try #require(try await test.gateway.apiKeys.list(account).first)
            #expect(listed.label == "shop" && listed.revokedAt == test.now && listed.lastUsedAt != nil)
            #expect(try await test.gateway.apiKeys.revoke(created.key.id, account: account, now: test.now) == false)
        }
    }

    @Test func `wrong, truncated, expired and foreign keys are refused`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let keys = test.gateway.apiKeys
            let short = try await keys.create(account: account, label: "x", test: true, expiresAt: test.now.addingTimeInterval(60), now: test.now)

            #expect(try await keys.authenticate(short.secret, now: test.now).isTest)
            await #expect(throws: AuthenticationFailure.expired) {
                try await keys.authenticate(short.secret, now: test.now.addingTimeInterval(60))
            }
            for text in ["", "wg_live_", String(short.secret.dropLast()), short.secret + "0"] {
                await #expect(throws: AuthenticationFailure.malformed) { try await keys.authenticate(text, now: test.now) }
            }
            try await test.owner.execute("test.forget", "DELETE FROM api_keys")
            await #expect(throws: AuthenticationFailure.unknown) {
                try await keys.authenticate(short.secret, now: test.now.addingTimeInterval(5))
            }
        }
    }

    @Test func `a pairing is asked for, served by the owner of the lease, shown while valid, and ends ready`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let sender = try await test.gateway.senders.create(account: account, label: "CS 1", test: true, now: test.now)
            #expect(try await test.gateway.leases.acquire(node: "n", limit: 9).isEmpty)

            let asked = try await test.gateway.pairing.request(sender: sender.id, account: account, now: test.now)
            let leased = try #require(try await test.gateway.leases.acquire(node: "n", limit: 9).first)
            let pending = try await test.gateway.pairing.pending([leased.owner], now: test.now)
            let code = Pairing.Code(text: "ref,key,key,key", validUntil: test.now.addingTimeInterval(60))
            #expect(try await test.gateway.pairing.publish(leased.owner, code: code, now: test.now))
            let shown = try await test.gateway.pairing.current(sender: sender.id, account: account, now: test.now)
            let later = try await test.gateway.pairing.current(sender: sender.id, account: account, now: test.now.addingTimeInterval(61))
            try await test.gateway.databases.engine.transaction(Databases.accounts([account])) { transaction in
                try await test.gateway.senders.paired(leased.owner, number: E164("+6281234567"), in: transaction, now: test.now)
            }

            #expect(asked?.senderState == .pairing && leased.state == .pairing && leased.pairingRequestedAt == test.now)
            #expect(pending.map(\.method) == [.qr] && shown?.code?.text == "ref,key,key,key" && later?.code == nil && later != nil)
            let paired = try #require(try await test.gateway.senders.get(sender.id, account: account))
            #expect(paired.state == .connecting && paired.number?.text == "+6281234567" && paired.pairedAt == test.now)
            #expect(try await test.gateway.pairing.current(sender: sender.id, account: account, now: test.now) == nil)
        }
    }

    @Test func `removing an owned sender waits for its owner, an unowned one is purged at once, and its messages end`() async throws {
        try await withTestGateway { test in
            let (account, sender, owner) = try await test.makeReadySender()
            let message = try await test.accept(account)
            let idle = try await test.gateway.senders.create(account: account, label: "idle", test: true, now: test.now)

            #expect(try await test.gateway.senders.remove(idle.id, account: account, now: test.now) == .removed)
            #expect(try await test.gateway.senders.remove(sender, account: account, now: test.now) == .removing)
            #expect(try await test.claim(owner).isEmpty)
            #expect(try await test.gateway.senders.recordState(owner, .ready, now: test.now))
            #expect(try await test.gateway.senders.get(sender, account: account)?.state == .removing)
            #expect(try await test.gateway.senders.purge(owner, now: test.now))
            var position = MovePosition()
            let ended = try await test.gateway.outbox.move(from: &position, now: test.now)

            #expect(ended.moved == 0 && ended.failed == 1)
            #expect(try await test.gateway.senders.list(account).isEmpty)
            #expect(try await test.gateway.messages.find(message.id, account: account)?.failure?.code == .senderRemoved)
        }
    }

    @Test func `the hourly run empties the contact cache, makes partitions, drops old bodies, and is listed`() async throws {
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let contacts = test.gateway.contacts
            try await contacts.store(.contact, key: "628123456789", payload: [1, 2, 3], account: account, now: test.now)
            let message = try await test.accept(account)
            _ = try await test.gateway.messages.cancel(message.id, account: account, now: test.now)
            #expect(try await contacts.find(.contact, key: "628123456789", account: account, now: test.now)?.payload == [1, 2, 3])
            #expect(try await contacts.find(.contact, key: "628123456789", account: account, now: test.now.addingTimeInterval(3601)) == nil)

            let runs = try await test.gateway.retention.runHourly(now: test.now)
            let month = try await test.gateway.retention.runHourly(now: test.now.addingTimeInterval(32 * 86_400))

            #expect(runs.allSatisfy(\.succeeded) && month.allSatisfy(\.succeeded))
            #expect(runs.first?.job == "contact_cache" && runs.first?.affected == 1)
            #expect(try await contacts.find(.contact, key: "628123456789", account: account, now: test.now) == nil)
            #expect(try await test.count("SELECT 1 AS one FROM message_bodies") == 0)
            #expect(try await test.gateway.messages.find(message.id, account: account) != nil)
            #expect(try await test.gateway.retention.runs(limit: 200).count == runs.count + month.count)
            #expect(try await test.count("SELECT 1 AS one FROM cron_runs WHERE job = 'contact_cache' AND succeeded") == 2)
        }
    }
}
