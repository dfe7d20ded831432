@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

/// Links, verifications, and the one who asks Telegram.
@Suite struct AlertLinkTests {
    private static let chat = TelegramChat(id: 700_000_001, kind: .private, title: "Budi")

    @Test func `a link is taken once, by its token, and the chat gets nothing before somebody confirms it`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let alerts = test.gateway.alerts
            let link = try await alerts.startTelegramLink(account: account, now: test.now)
            #expect(link.token.utf8.count == 43)
            guard case .waiting? = try await alerts.telegramLink(link.id, account: account, now: test.now)?.state else {
                throw TestFailure("not waiting")
            }
            await #expect(throws: ChannelRefusal.linkNotTaken) { try await alerts.confirmTelegramLink(link.id, account: account, now: test.now) }
            // Neither the token nor anything that leads to it stands in the database.
            let stored = try await test.owner.query("test.link", "SELECT row_to_json(t)::text AS row FROM telegram_links t") {
                try $0.column("row", as: String.self)
            }
            #expect(stored.count == 1 && !stored[0].contains(link.token))
            for forged in [
                "", link.token + "A", String(link.token.dropLast()), String(link.token.reversed()), String(repeating: "A", count: 43), "' OR 1=1 --",
            ] {
                #expect(try await alerts.takeTelegramLink(token: forged, chat: Self.chat, now: test.now) == nil)
            }
            let taken = try #require(try await alerts.takeTelegramLink(token: link.token, chat: Self.chat, language: .indonesian, now: test.now))
            #expect(taken.account == account && taken.accountName == "Toko" && taken.channel.state == .unverified && !taken.isAlreadyActive)
            #expect(taken.channel.settings.language == .indonesian)
            // A replay, by the same chat and by another one.
            #expect(try await alerts.takeTelegramLink(token: link.token, chat: Self.chat, now: test.now) == nil)
            let thief = TelegramChat(id: 666, kind: .private, title: "Eve")
            #expect(try await alerts.takeTelegramLink(token: link.token, chat: thief, now: test.now) == nil)
            #expect(try await alerts.links(of: Self.chat.id).isEmpty)
            guard case .linked(let shown)? = try await alerts.telegramLink(link.id, account: account, now: test.now)?.state else {
                throw TestFailure("not linked")
            }
            #expect(shown.address == .telegram(Self.chat))
            // Another account cannot see or confirm it.
            let other = try await test.gateway.accounts.create(name: "Warung", now: test.now).id
            #expect(try await alerts.telegramLink(link.id, account: other, now: test.now) == nil)
            #expect(try await alerts.confirmTelegramLink(link.id, account: other, now: test.now) == nil)

            let channel = try #require(try await alerts.confirmTelegramLink(link.id, account: account, now: test.now))
            #expect(channel.state == .active)
            #expect(try await alerts.confirmTelegramLink(link.id, account: account, now: test.now)?.id == channel.id)
            #expect(try await test.claimNotices().map(\.occasion) == [.linked])
            #expect(try await alerts.links(of: Self.chat.id) == [ChatLink(account: account, channel: channel.id, language: .indonesian)])
            // A second link from the same chat changes nothing.
            let second = try await alerts.startTelegramLink(account: account, now: test.now)
            #expect(try await alerts.takeTelegramLink(token: second.token, chat: Self.chat, now: test.now)?.isAlreadyActive == true)
            #expect(try await alerts.channels(account).count == 1)
            #expect(try await alerts.unlink(channel.id, account: account))
            #expect(try await alerts.channels(account).isEmpty)
        }
    }

    @Test func `a token works at 59:59 and not at 60:01, also without the sweep; a chat must be confirmed within an hour`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let alerts = test.gateway.alerts
            let links = [
                try await alerts.startTelegramLink(account: account, now: test.now),
                try await alerts.startTelegramLink(account: account, now: test.now),
            ]
            test.clock.advance(by: 3_599)
            #expect(try await alerts.takeTelegramLink(token: links[0].token, chat: Self.chat, now: test.now) != nil)
            test.clock.advance(by: 2)
            #expect(try await alerts.takeTelegramLink(token: links[1].token, chat: Self.chat, now: test.now) == nil)
            #expect(try await alerts.telegramLink(links[1].id, account: account, now: test.now) == nil)
            test.clock.advance(by: 3_600)
            #expect(try await alerts.confirmTelegramLink(links[0].id, account: account, now: test.now) == nil)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.count("SELECT 1 AS one FROM telegram_links") == 0)
            #expect(try await test.count("SELECT 1 AS one FROM alert_channels") == 0)
        }
    }

    @Test func `at most five links are live, however many ask at once`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let made = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<12 {
                    group.addTask {
                        do {
                            _ = try await test.gateway.alerts.startTelegramLink(account: account, now: test.now)
                            return true
                        } catch ChannelRefusal.tooManyLinks { return false }
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(made == 5)
            test.clock.advance(by: 3_601)
            let link = try await test.gateway.alerts.startTelegramLink(account: account, now: test.now)
            #expect(try await test.gateway.alerts.cancelTelegramLink(link.id, account: account))
            #expect(try await !test.gateway.alerts.cancelTelegramLink(link.id, account: account))
        }
    }

    @Test func `two chats that send one token at once: one of them is linked`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let link = try await test.gateway.alerts.startTelegramLink(account: account, now: test.now)
            let taken = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        let chat = TelegramChat(id: Int64(1_000 + number), kind: .private, title: "N\(number)")
                        return try await test.gateway.alerts.takeTelegramLink(token: link.token, chat: chat, now: test.now) != nil
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(taken == 1)
            #expect(try await test.gateway.alerts.channels(account).count == 1)
        }
    }

    @Test func `an e-mail address gets nothing but the question before it has answered, and its token works once`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let alerts = test.gateway.alerts
            let address = try EmailAddress.of("Ops@Toko.co.id")
            let key = try IdempotencyKey("mail-1")
            let made = try #require(try await alerts.createEmail(account: account, address: address, idempotencyKey: key, now: test.now))
            let again = try #require(try await alerts.createEmail(account: account, address: address, idempotencyKey: key, now: test.now))
            #expect(made.channel.state == .unverified && !made.replayed && again.replayed && again.channel.id == made.channel.id)
            await #expect(throws: ChannelRefusal.channelExists) {
                try await alerts.createEmail(account: account, address: try .of("ops@toko.co.id"), now: test.now)
            }
            await #expect(throws: ChannelRefusal.channelNotActive) { try await alerts.test(made.channel.id, account: account, now: test.now) }
            let asked = try await test.claimNotices()
            #expect(asked.map(\.occasion) == [.verification] && asked.first?.secret?.utf8.count == 43)
            let old = try #require(asked.first?.secret)
            await #expect(throws: ChannelRefusal.tooSoon) { try await alerts.sendVerification(made.channel.id, account: account, now: test.now) }
            test.clock.advance(by: 60)
            #expect(try await alerts.sendVerification(made.channel.id, account: account, now: test.now))
            let new = try #require(try await test.claimNotices().first?.secret)
            let rows = try await test.owner.query("test.secrets", "SELECT row_to_json(n)::text AS row FROM alert_notices n") {
                try $0.column("row", as: String.self)
            }
            #expect(rows.allSatisfy { !$0.contains(new) && !$0.contains(new.utf8.map { String($0, radix: 16) }.joined()) })
            for wrong in [old, "", String(repeating: "x", count: 43)] { #expect(try await alerts.verifyEmail(token: wrong, now: test.now) == nil) }
            test.clock.advance(by: 48 * 3_600 - 1)
            let verified = try #require(try await alerts.verifyEmail(token: new, now: test.now))
            #expect(verified.account == account && verified.channel.state == .active && verified.channel.address == .email(address))
            #expect(try await alerts.verifyEmail(token: new, now: test.now) == nil)
            #expect(try await alerts.test(made.channel.id, account: account, now: test.now) != nil)
            await #expect(throws: ChannelRefusal.tooSoon) { try await alerts.test(made.channel.id, account: account, now: test.now) }
        }
    }

    @Test func `a token of a verification is dead after 48 hours, and an address that never answered goes with it`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let address = try EmailAddress.of("ops@toko.co.id")
            _ = try await test.gateway.alerts.createEmail(account: account, address: address, now: test.now)
            let token = try #require(try await test.claimNotices().first?.secret)
            test.clock.advance(by: 48 * 3_600 - 60)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.gateway.alerts.channels(account).count == 1)
            test.clock.advance(by: 61)
            #expect(try await test.gateway.alerts.verifyEmail(token: token, now: test.now) == nil)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.gateway.alerts.channels(account).isEmpty)
        }
    }

    @Test func `an account has at most twenty channels`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            for number in 0..<20 {
                _ = try await test.gateway.alerts.createEmail(account: account, address: try .of("n\(number)@toko.id"), now: test.now)
            }
            await #expect(throws: ChannelRefusal.tooManyChannels) {
                try await test.gateway.alerts.createEmail(account: account, address: try .of("more@toko.id"), now: test.now)
            }
            let link = try await test.gateway.alerts.startTelegramLink(account: account, now: test.now)
            #expect(try await test.gateway.alerts.takeTelegramLink(token: link.token, chat: Self.chat, now: test.now) == nil)
        }
    }

    @Test func `one node asks Telegram at a time, goes on where the last one was, and handles each update once`() async throws {
        try await withTestGateway { test in
            let alerts = test.gateway.alerts
            #expect(try await alerts.holdPoller(bot: 1, node: "a", ttl: 600) == 0)
            #expect(try await alerts.holdPoller(bot: 1, node: "b", ttl: 600) == nil)
            #expect(try await alerts.holdPoller(bot: 2, node: "b", ttl: 600) == 0)
            let firsts = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<6 { group.addTask { try await alerts.isFirst(update: 500, bot: 1, now: test.now) } }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(firsts == 1)
            #expect(try await alerts.isFirst(update: 499, bot: 1, now: test.now))
            #expect(try await alerts.isFirst(update: 500, bot: 2, now: test.now))
            #expect(try await alerts.holdPoller(bot: 1, node: "a", ttl: 600) == 501)
            try await alerts.releasePoller(bot: 1, node: "b")
            #expect(try await alerts.holdPoller(bot: 1, node: "b", ttl: 600) == nil)
            try await alerts.releasePoller(bot: 1, node: "a")
            #expect(try await alerts.holdPoller(bot: 1, node: "b", ttl: -1) == 501)
            // Its time is over.
            #expect(try await alerts.holdPoller(bot: 1, node: "c", ttl: 600) == 501)
        }
    }
}
