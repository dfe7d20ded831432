import Domain
import Fakes
import Foundation
import TestSupport
import Testing

@testable import Alerting

/// What people in chats can do, and what strangers cannot.
@Suite struct ChatTests {
    @Test func `A linked chat is answered to every command, in its language`() async throws {
        try await withAlerts { rig in
            let chat = FakeTelegram.Chat(55, name: "Budi", language: "id")
            let channel = try await rig.link(chat)
            func ask(_ text: String) async throws -> String {
                rig.telegram.say(text, in: chat)
                try await rig.run(for: 10)
                return rig.telegram.messages(in: chat.id).last?.html ?? ""
            }
            #expect(try await ask("/status").contains("siap: 1"))
            #expect(try await ask("/senders").contains("CS 1 (\(rig.sender.sender)): siap"))
            #expect(try await ask("/help@\(rig.telegram.userName)").contains("/mute 2h"))
            #expect(try await ask("/mute 2h").contains("sampai 2026-05-29 05:"))
            let until = try #require(try await rig.gateway.alerts.channel(channel.id, account: rig.account)?.mutedUntil)
            #expect((7_100...7_200).contains(until.timeIntervalSince(rig.test.now)))
            #expect(try await ask("/status").contains("Diam sampai"))
            #expect(try await ask("/mute x").contains("Sebutkan berapa lama"))
            #expect(try await ask("/mute off").contains("datang lagi"))
            #expect(try await rig.gateway.alerts.channel(channel.id, account: rig.account)?.isMuted(at: rig.test.now) == false)
            #expect(try await ask("/dance").contains("tidak ada"))
            #expect(try await ask("/unlink").contains("tidak tertaut lagi"))
            let count = rig.telegram.messages(in: chat.id).count
            _ = try await ask("/status")
            #expect(rig.telegram.messages(in: chat.id).count == count)
            #expect(try await rig.gateway.alerts.channel(channel.id, account: rig.account) == nil)
            #expect(rig.telegram.complaints == [])
        }
    }

    @Test func `A muted chat hears nothing until its time is up, and then what still holds`() async throws {
        try await withAlerts { rig in
            try await rig.link()
            rig.telegram.say("/mute 30m", in: rig.chat)
            try await rig.run(for: 10)
            try await rig.state(.disconnected)
            let count = rig.telegram.messages(in: rig.chat.id).count
            try await rig.run(for: 1_700)
            #expect(rig.telegram.messages(in: rig.chat.id).count == count)
            try await rig.run(for: 120)
            #expect(rig.telegram.messages(in: rig.chat.id).count == count + 1)
        }
    }

    @Test func `A chat that nobody linked gets no answer, except to the start of a conversation`() async throws {
        try await withAlerts { rig in
            let stranger = FakeTelegram.Chat(66, name: "Eve")
            for text in ["/status", "/senders", "/mute 2h", "/unlink", "/help", "hello", "/start@other_bot x"] {
                rig.telegram.say(text, in: stranger)
            }
            try await rig.run(for: 10)
            #expect(rig.telegram.messages(in: stranger.id).isEmpty)
            rig.telegram.say("/start", in: stranger)
            rig.telegram.say("/start notatoken", in: stranger)
            try await rig.run(for: 10)
            #expect(rig.telegram.messages(in: stranger.id).count == 2)
        }
    }

    @Test func `A link works once: a forwarded one links nobody else, and an old one nobody`() async throws {
        try await withAlerts { rig in
            let link = try await rig.gateway.alerts.startTelegramLink(account: rig.account, now: rig.test.now)
            rig.telegram.say("/start \(link.token)", in: rig.chat)
            try await rig.run(for: 10)
            let eve = FakeTelegram.Chat(66, name: "Eve")
            rig.telegram.say("/start \(link.token)", in: eve)
            try await rig.run(for: 10)
            #expect(rig.telegram.messages(in: eve.id).map(\.html).first?.contains("does not work") == true)
            // Not confirmed yet: nothing is told there.
            try await rig.state(.disconnected)
            try await rig.run(for: 300)
            #expect(rig.telegram.messages(in: rig.chat.id).count == 1)

            let old = try await rig.gateway.alerts.startTelegramLink(account: rig.account, now: rig.test.now)
            rig.clock.advance(by: 3_601)
            rig.telegram.say("/start \(old.token)", in: eve)
            try await rig.run(for: 10)
            #expect(rig.telegram.messages(in: eve.id).last?.html.contains("does not work") == true)
        }
    }

    @Test func `An update that comes again, by whichever way, changes nothing`() async throws {
        try await withAlerts { rig in
            let link = try await rig.gateway.alerts.startTelegramLink(account: rig.account, now: rig.test.now)
            let update = rig.telegram.say("/start \(link.token)", in: rig.chat)
            _ = await rig.service.poll()
            let other = try await rig.gateway.accounts.create(name: "Other", now: rig.test.now).id
            let theirs = try await rig.gateway.alerts.startTelegramLink(account: other, now: rig.test.now)
            // The same number with another text, as a replay or a forgery would have it.
            let desk = TelegramDesk(bot: try AlertRig.bot(rig.telegram))
            let clock = rig.clock
            let inbox = TelegramInbox(gateway: rig.gateway, desk: desk, now: { clock.now }, logger: .silent)
            let json = #"{"update_id":\#(update),"message":{"message_id":9,"chat":{"id":66,"type":"private"},"text":"/start \#(theirs.token)"}}"#
            try await inbox.receive(try #require(TelegramUpdate(json: Array(json.utf8))))
            guard case .waiting = try #require(try await rig.gateway.alerts.telegramLink(theirs.id, account: other, now: rig.test.now)).state else {
                throw TestFailure("the replay linked")
            }
            #expect(rig.telegram.messages(in: 66).isEmpty)
        }
    }

    @Test func `A button counts in its own chat only, and a second press has nothing to do`() async throws {
        try await withAlerts { rig in
            try await rig.link()
            try await rig.state(.disconnected)
            try await rig.run(for: 200)
            let alert = try #require(rig.telegram.messages(in: rig.chat.id).last)
            let eve = FakeTelegram.Chat(66, name: "Eve")
            rig.telegram.open(eve)
            rig.telegram.press(alert.data[0], under: FakeTelegram.Message(id: 1, chat: 66, html: "", buttons: [], data: []), in: eve)
            rig.telegram.press("ack:rubbish", under: alert, in: rig.chat)
            try await rig.run(for: 10)
            let history = try await rig.gateway.alerts.history(account: rig.account, AlertFilter(), page: PageRequest(limit: 10), now: rig.test.now)
            #expect(history.data.allSatisfy { $0.acknowledgedAt == nil })
            #expect(Set(rig.telegram.shown).count == 1 && rig.telegram.shown.count == 2)

            // Silence: the buttons that are left still acknowledge.
            rig.telegram.press(alert.data[1], under: alert, in: rig.chat)
            try await rig.run(for: 10)
            #expect(rig.telegram.messages(in: rig.chat.id).last?.buttons == [["Acknowledge"]])
            #expect(rig.telegram.shown.contains("Silent for 1 h."))
            let silenced = try await rig.gateway.alerts.history(account: rig.account, AlertFilter(), page: PageRequest(limit: 10), now: rig.test.now)
            #expect(silenced.data.first?.silencedUntil != nil)
        }
    }
}
