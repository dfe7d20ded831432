import Fakes
import Foundation
import OutboundHTTP
import TestSupport
import Testing

@testable import Alerting

@Suite struct TelegramBotTests {
    private let chat = FakeTelegram.Chat(11)

    @Test func `A message is sent, its text and its buttons change, a press is answered, and the documentation allows all of it`() async throws {
        try await withFakes { telegram, _, _ in
            let bot = try AlertRig.bot(telegram)
            telegram.open(chat)
            let me = try await bot.me()
            let id = try await bot.send(
                TelegramMessage(chat: 11, html: "<b>A &amp; B</b>", buttons: [[.init("Yes", data: "yes"), .init("No", data: "no")]]))
            try await bot.edit(id, TelegramMessage(chat: 11, html: "later", buttons: [[.init("Yes", data: "yes")]]))
            try await bot.edit(id, in: 11, buttons: [])
            telegram.press("yes", under: try #require(telegram.messages(in: 11).first), in: chat)
            let update = try #require(try await bot.updates(offset: 0, wait: .zero).first)
            guard case .press(let press) = update.event else { throw TestFailure("no press") }
            try await bot.answer(press.id, text: String(repeating: "x", count: 300))

            #expect(me.id == 7_000_001 && me.isBot == true && me.username == telegram.userName)
            #expect(press.data == "yes" && press.message?.id == id && press.from.languageCode == "en")
            #expect(telegram.messages(in: 11).map(\.html) == ["later"] && telegram.messages(in: 11).first?.buttons == [])
            #expect(telegram.shown == [String(repeating: "x", count: 200)])
            #expect(
                telegram.calls.map(\.method) == ["getMe", "sendMessage", "editMessageText", "editMessageReplyMarkup", "answerCallbackQuery"])
            #expect(telegram.complaints == [])
        }
    }

    @Test func `Every refusal has its name, and what Telegram asks for with it`() async throws {
        try await withFakes { telegram, _, _ in
            let bot = try AlertRig.bot(telegram)
            telegram.open(chat)
            let message = TelegramMessage(chat: 11, html: "x")
            let cases: [(FakeTelegram.Order, TelegramFailure)] = [
                (.flood(retryAfter: 35), .flood(retryAfter: .seconds(35))), (.blocked, .blocked), (.chatNotFound, .chatNotFound),
                (.migrated(to: -1_001_234_567_890), .migrated(to: -1_001_234_567_890)), (.conflict, .conflict), (.unauthorized, .unauthorized),
                (.server(502), .server(status: 502)), (.garbage, .unreadable(status: 200)),
            ]
            for (order, failure) in cases {
                telegram.order(order, for: "sendMessage")
                await #expect(throws: failure) { try await bot.send(message) }
            }
            // On a connection that was used before, libcurl itself asks once more on a new one: what happens twice is lost.
            telegram.order(.close, .close, for: "sendMessage")
            let error = await #expect(throws: TelegramFailure.self) { try await bot.send(message) }
            #expect(error?.code == "connection_lost")
            // Nothing else was repeated by itself.
            #expect((cases.count + 1...cases.count + 2).contains(telegram.calls.count) && telegram.messages(in: 11).isEmpty)
        }
    }

    @Test func `What is wrong with a chat or a message is told apart without the words of any order`() async throws {
        try await withFakes { telegram, _, _ in
            let bot = try AlertRig.bot(telegram)
            let group = FakeTelegram.Chat(-5, name: "Ops")
            telegram.open(chat)
            telegram.open(group)
            let id = try await bot.send(TelegramMessage(chat: 11, html: "x"))
            await #expect(throws: TelegramFailure.notModified) { try await bot.edit(id, TelegramMessage(chat: 11, html: "x")) }
            await #expect(throws: TelegramFailure.gone) { try await bot.edit(999, in: 11, buttons: []) }
            await #expect(throws: TelegramFailure.gone) { try await bot.answer("long-ago", text: "") }
            await #expect(throws: TelegramFailure.chatNotFound) { try await bot.send(TelegramMessage(chat: 12, html: "x")) }
            await #expect(throws: TelegramFailure.badRequest(status: 400)) { try await bot.send(TelegramMessage(chat: 11, html: "<b>x")) }
            telegram.blockSilently(chat)
            await #expect(throws: TelegramFailure.blocked) { try await bot.send(TelegramMessage(chat: 11, html: "x")) }
            telegram.migrate(group, to: -1_000_000_000_005)
            await #expect(throws: TelegramFailure.migrated(to: -1_000_000_000_005)) { try await bot.send(TelegramMessage(chat: -5, html: "x")) }
            let stranger = try AlertRig.bot(telegram, token: "7000001:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB")
            await #expect(throws: TelegramFailure.unauthorized) { try await stranger.me() }
        }
    }

    @Test func `Updates come once each: what an offset confirms is gone, and what has another shape harms nobody`() async throws {
        try await withFakes { telegram, _, _ in
            let bot = try AlertRig.bot(telegram)
            telegram.push(1, ["update_id": 1, "message": "a text where an object belongs"])
            telegram.push(2, ["nothing": true])
            telegram.push(
                3, ["update_id": 3, "message": ["message_id": 5, "chat": ["id": 9, "type": "private"], "text": "/help"], "new_thing": [1, 2]])
            telegram.push(4, ["update_id": 4, "message": ["message_id": "5", "chat": ["id": 9]]])
            let first = try await bot.updates(offset: 0, wait: .zero)
            let second = try await bot.updates(offset: 4, wait: .zero)
            let third = try await bot.updates(offset: 5, wait: .zero)
            #expect(first.map(\.id) == [1, 3, 4])
            guard case .message(let message) = try #require(first.dropFirst().first).event else { throw TestFailure("no message") }
            #expect(message.text == "/help" && message.from == nil)
            #expect(second.map(\.id) == [4] && third.isEmpty)
        }
    }

    @Test func `A second asker ends the first one with a conflict, a webhook ends both, and deleting it lets them ask again`() async throws {
        try await withFakes { telegram, _, _ in
            let bot = try AlertRig.bot(telegram)
            async let first = Self.failure(of: bot)
            for await call in telegram.stream where call.method == "getUpdates" { break }
            let second = try await bot.updates(offset: 0, wait: .zero)
            #expect(second.isEmpty)
            #expect(await first == .conflict)

            try await bot.setWebhook(url: "https://gateway.example/hooks/telegram", secret: "a-secret_of_ours_0123456789")
            await #expect(throws: TelegramFailure.conflict) { try await bot.updates(offset: 0, wait: .zero) }
            #expect(telegram.webhook?.secret == "a-secret_of_ours_0123456789")
            try await bot.deleteWebhook()
            _ = try await bot.updates(offset: 0, wait: .zero)
            #expect(telegram.complaints == [])
        }
    }

    @Test func `A waiting poll answers as soon as something happens`() async throws {
        try await withFakes { telegram, _, _ in
            let bot = try AlertRig.bot(telegram)
            async let updates = bot.updates(offset: 0, wait: .seconds(600))
            for await call in telegram.stream where call.method == "getUpdates" { break }
            telegram.say("/help", in: chat)
            #expect(try await updates.count == 1)
        }
    }

    @Test func `Secrets redact themselves`() throws {
        let token = try #require(TelegramToken("123456:ABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123\n"))
        let key = try #require(ResendKey(" re_secret_123 "))
        let webhook = try #require(TelegramWebhook(url: "https://x.example", secret: "abcdefghijklmnop"))
        let all = "\(token) \(key) \(webhook) \(String(reflecting: token)) \(String(reflecting: key)) \(String(reflecting: webhook))"
        #expect(!all.contains("ABCDEF") && !all.contains("secret_123") && !all.contains("abcdefgh"))
        for wrong in ["", "123456", "0:ABCDEFGHIJKLMNOPQRSTUVWXYZ", "1:short", "12:ABC DEFGHIJKLMNOPQRSTUVWXYZ", "a:ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
            #expect(TelegramToken(wrong) == nil, "\(wrong)")
        }
        #expect(ResendKey("sk_123456789") == nil && ResendKey("re_a b") == nil)
        #expect(TelegramWebhook(url: "https://x.example", secret: "short") == nil)
        #expect(webhook.isGenuine("abcdefghijklmnop") && !webhook.isGenuine("abcdefghijklmnoq") && !webhook.isGenuine(nil) && !webhook.isGenuine(""))
    }

    @Test(arguments: ["http://api.telegram.org", "http://10.0.0.5:8081", "https://10.0.0.5", "ftp://x.example", "https://api.example/?a=1", ""])
    func `Only https leaves this machine`(_ url: String) {
        #expect(throws: OutboundFailure.self) { try AlertEndpoint(url) }
    }

    @Test func `A base URL keeps its path, and plain http stays on this machine`() throws {
        let own = try AlertEndpoint("http://127.0.0.1:8081/bot-api/")
        let url = try own.url("/bot1:x/getMe")
        #expect(url.text == "http://127.0.0.1:8081/bot-api/bot1:x/getMe")
        #expect(own.policy.schemes == [.http])
        let there = try AlertEndpoint("https://api.telegram.org")
        #expect(there.policy == .public)
        let other = try there.url("/bot1:x/getMe")
        #expect(other.description == "https://api.telegram.org")
    }

    /// How a long poll ends.
    private static func failure(of bot: TelegramBot) async -> TelegramFailure? {
        do throws(TelegramFailure) {
            _ = try await bot.updates(offset: 0, wait: .seconds(600))
            return nil
        } catch {
            return error
        }
    }
}
