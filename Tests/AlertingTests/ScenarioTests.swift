import Domain
import Fakes
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Alerting

/// Everything together: real PostgreSQL, both fakes, one clock that moves only when told to.
@Suite struct ScenarioTests {
    @Test func `Link, sender down, acknowledge, back up, digest, closing receipt: exactly the expected calls and nothing else`() async throws {
        try await withAlerts { rig in
            // Link.
            try await rig.addEmail("ops@example.com")
            try await rig.link()
            #expect(rig.steps() == ["getMe", "sendMessage This chat asks for the alerts of “Toko”.", "sendMessage [Toko] Linked"])
            try await rig.run(for: 60)
            #expect(rig.steps() == [])

            // Sender down: short ones are silent, this one is told after three minutes, once.
            try await rig.state(.disconnected)
            try await rig.run(for: 170)
            #expect(rig.steps() == [])
            try await rig.run(for: 30)
            #expect(rig.steps() == ["sendMessage [Toko] Alert: A sender cannot send"])
            let alert = try #require(rig.telegram.messages(in: rig.chat.id).last)
            #expect(alert.html.contains("CS 1 (\(rig.sender.sender))"))
            #expect(alert.buttons == [["Acknowledge"], ["Silence 1 h", "Silence 24 h"]])
            try await rig.run(for: 300)
            #expect(rig.steps() == [])

            // Acknowledge.
            rig.telegram.press(alert.data[0], under: alert, in: rig.chat)
            try await rig.turn()
            #expect(rig.steps() == ["answerCallbackQuery Acknowledged.", "editMessageReplyMarkup"])
            #expect(rig.telegram.messages(in: rig.chat.id).last?.buttons == [])
            // Nothing escalates that somebody has acknowledged.
            try await rig.run(for: 900)
            #expect(rig.steps() == [])

            // Back up: told after five minutes, once.
            try await rig.state(.ready)
            try await rig.run(for: 290)
            #expect(rig.steps() == [])
            try await rig.run(for: 30)
            #expect(rig.steps() == ["sendMessage [Toko] Over: A sender cannot send"])
            try await rig.run(for: 300)
            #expect(rig.steps() == [])

            // Digest, at eight in Jakarta.
            let eight = Date(timeIntervalSince1970: 1_780_016_400)
            try await rig.skip(to: eight.addingTimeInterval(-10))
            #expect(rig.steps() == [])
            try await rig.run(for: 20)
            #expect(rig.steps() == ["sendMessage [Toko] Daily summary"])
            try await rig.run(for: 600)
            #expect(rig.steps() == [])

            // Closing: the address that had said yes gets the receipt.
            _ = try await rig.gateway.closing.close(rig.account, patience: 0, now: { rig.test.now })
            try await rig.run(for: 60)
            #expect(rig.steps() == [])

            #expect(
                rig.resend.mails.map(\.subject) == [
                    "[Toko] Do you want alerts here?", "[Toko] Alert: A sender cannot send", "[Toko] Over: A sender cannot send",
                    "[Toko] Daily summary", "The account was deleted",
                ])
            #expect(rig.resend.calls.count == rig.resend.mails.count)
            #expect(rig.resend.mails.last?.text.contains("del_") == true)
            #expect(rig.telegram.complaints == [] && rig.resend.complaints == [])
        }
    }

    @Test func `What WhatsApp users wrote, and to whom, is in nothing that leaves for Telegram or Resend`() async throws {
        try await withAlerts { rig in
            let number = "628975310246"
            let body = "Kode rahasia 864209"
            try await rig.link()
            try await rig.addEmail("ops@example.com")
            for place in 0..<30 {
                let request = try SendMessage(
                    to: "+\(number)", body: body, reference: "order-\(place)-864209", metadata: ["k": "864209"], now: rig.test.now)
                _ = try await rig.gateway.messages.accept(
                    request, caller: Caller(account: rig.account, isTest: true), idempotencyKey: nil, now: rig.test.now)
            }
            // A queue that grows old, a sender that is gone, failures, a new key, an answer to every command, a digest.
            try await rig.state(.disconnected)
            _ = try await rig.gateway.apiKeys.create(account: rig.account, label: "shop", test: true, now: rig.test.now)
            try await rig.run(for: 900)
            for command in ["/status", "/senders", "/mute 30m", "/mute off", "/help"] {
                rig.telegram.say(command, in: rig.chat)
                try await rig.run(for: 10)
            }
            try await rig.state(.loggedOut)
            try await rig.run(for: 60)
            try await rig.skip(to: Date(timeIntervalSince1970: 1_780_016_400))
            try await rig.run(for: 20)

            let all = rig.telegram.everything + rig.resend.everything
            let sent = all.map { String(decoding: $0, as: UTF8.self) }.joined()
            // The control: what should be in it is found in the same way.
            #expect(Self.contains(all, "CS 1") && sent.contains(rig.sender.sender.description))
            for secret in [number, String(number.dropFirst(2)), body, "864209", "6281200000001"] {
                #expect(!Self.contains(all, secret), "\(secret)")
            }
            // Several kinds were told of, in both ways.
            #expect(Set(rig.telegram.messages(in: rig.chat.id).map(\.html)).count >= 6)
            #expect(rig.resend.mails.count >= 5)
        }
    }

    /// Whether a text is in one of these, as it is or in an encoding that hides it from a plain search.
    private static func contains(_ all: [[UInt8]], _ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var needles = [
            bytes, Array(Hex.encode(bytes).utf8), Array(text.utf16).flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] },
        ]
        needles.append(Array(text.utf16).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] })
        needles.append(Array((text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text).utf8))
        for shift in 0..<3 {
            // The middle of it is the same whatever stands before and after.
            let encoded = Data([UInt8](repeating: 0x20, count: shift) + bytes).base64EncodedString()
            needles.append(Array(encoded.dropFirst(shift == 0 ? 0 : 4).prefix(max(4, (bytes.count - 3) / 3 * 4)).utf8))
        }
        return all.contains { hay in needles.contains { hay.firstRange(of: $0) != nil } }
    }

    @Test func `A thousand senders that drop at once are one notice an account in five minutes`() async throws {
        try await withAlerts { rig in
            try await rig.link()
            let other = try await rig.gateway.accounts.create(name: "Other", now: rig.test.now).id
            let chat = FakeTelegram.Chat(77, name: "Budi", language: "id")
            try await rig.link(chat, account: other)
            try await rig.addSenders(999, to: rig.account)
            try await rig.addSenders(20, to: other)
            _ = rig.steps()
            try await rig.run(for: 30)
            // Half of them, and the others a minute later.
            try await rig.setAll(.disconnected, odd: true)
            try await rig.run(for: 60)
            try await rig.setAll(.disconnected, odd: false)
            try await rig.run(for: 600)
            let mine = rig.telegram.calls.filter { $0.method == "sendMessage" && $0.chat == rig.chat.id && $0.text.contains("cannot send") }
            let theirs = rig.telegram.calls.filter { $0.method == "sendMessage" && $0.chat == chat.id && $0.text.contains("tidak dapat") }
            for calls in [mine, theirs] {
                #expect((1...3).contains(calls.count))
                for (earlier, later) in zip(calls, calls.dropFirst()) { #expect(later.at.timeIntervalSince(earlier.at) >= 300) }
            }
            #expect(mine.last?.text.contains("1000 senders cannot send") == true)
            #expect(theirs.last?.text.contains("20 pengirim tidak dapat mengirim") == true)
            #expect(rig.telegram.complaints == [])
        }
    }

    @Test func `A process that dies after Resend took an e-mail, before it is written down, sends it again under the same key`() async throws {
        try await withAlerts { rig in
            try await rig.addEmail("ops@example.com")
            try await rig.state(.disconnected)
            for _ in 0..<20 {
                rig.clock.advance(by: 10)
                try await rig.service.watch()
            }
            // The first process: sends, and is gone.
            let writer = NoticeWriter(publicURL: "https://gateway.example", from: "Gateway <alerts@example.com>")
            let claimed = try await rig.gateway.alerts.claimNotices(limit: 10, now: rig.test.now, deadline: rig.test.now.addingTimeInterval(180))
            let notice = try #require(claimed.first { $0.occasion == .fired })
            guard case .email(let address) = notice.channel.address else { throw TestFailure("no e-mail") }
            _ = try await AlertRig.client(rig.resend).send(writer.email(writer.letter(notice), to: address), key: "alert/\(notice.id)")

            let second = try rig.restarted()
            rig.clock.advance(by: 170)
            #expect(try await second.deliver() == 0)
            rig.clock.advance(by: 20)
            #expect(try await second.deliver() == 1)
            #expect(try await second.deliver() == 0)
            let calls = rig.resend.calls.filter { $0.key == "alert/\(notice.id)" }
            #expect(calls.count == 2 && calls[0].body == calls[1].body)
            #expect(rig.resend.mails.count { $0.subject.contains("cannot send") } == 1)
            #expect(rig.resend.complaints == [])
        }
    }

    @Test func `Two nodes tell of everything once, and one at a time asks Telegram`() async throws {
        try await withAlerts { rig in
            let other = try AlertRig.service(rig.test, rig.telegram, rig.resend, node: "node-2")
            try await rig.link()
            #expect(await other.poll() == .notMine)
            try await rig.state(.disconnected)
            for _ in 0..<25 {
                rig.clock.advance(by: 10)
                async let first = rig.service.watch()
                async let second = other.watch()
                _ = try await (first, second)
                async let one = rig.service.deliver()
                async let two = other.deliver()
                _ = try await (one, two)
            }
            #expect(rig.telegram.messages(in: rig.chat.id).count { $0.html.contains("cannot send") } == 1)
        }
    }
}

extension AlertRig {
    /// What the bot was asked to do since the last time: method, and the first line that people read.
    func steps() -> [String] {
        let seen = mark.take(telegram.calls.count)
        return telegram.calls.dropFirst(seen).map { call in
            let text = FakeTelegramHTML.plain(call.text) ?? call.text
            let line = text.split(separator: "\n").first.map(String.init) ?? ""
            let sentence = line.firstRange(of: ". ").map { String(line[..<$0.lowerBound]) + "." } ?? line
            return sentence.isEmpty ? call.method : "\(call.method) \(sentence)"
        }
    }

    /// Goes on to that moment by the hour, with the hourly job.
    func skip(to moment: Date) async throws {
        while test.now < moment {
            clock.advance(by: min(3_000, moment.timeIntervalSince(test.now)))
            _ = try await gateway.retention.runHourly(now: test.now)
            try await turn()
        }
    }

    /// Test senders that are ready.
    func addSenders(_ count: Int, to account: Account.ID) async throws {
        for place in 0..<count { _ = try await gateway.senders.create(account: account, label: "S \(place)", test: true, now: test.now) }
        _ = try await test.owner.execute(
            "test.ready", "UPDATE senders SET state = 'ready', state_since = \(test.now) WHERE account_id = \(account)")
    }

    /// Every second one of them is in that state from now on.
    func setAll(_ state: SenderState, odd: Bool) async throws {
        _ = try await test.owner.execute(
            "test.state",
            """
            UPDATE senders s SET state = \(state.rawValue), state_since = \(test.now)
            FROM (SELECT sender_id, row_number() OVER (ORDER BY sender_id) % 2 = 1 AS odd FROM senders) n
            WHERE n.sender_id = s.sender_id AND n.odd = \(odd)
            """)
    }
}
