import Domain
import Fakes
import Foundation
import OutboundHTTP
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Alerting

/// What is told when those who tell have trouble themselves.
@Suite struct FailureTests {
    @Test func `A chat that has blocked the bot is dead, and what it should have told goes out by e-mail`() async throws {
        try await withAlerts { rig in
            try await rig.addEmail("ops@example.com", ChannelFields(isEscalationOnly: true))
            let channel = try await rig.link()
            rig.telegram.blockSilently(rig.chat)
            try await rig.state(.disconnected)
            try await rig.run(for: 240)
            #expect(try await rig.gateway.alerts.channel(channel.id, account: rig.account)?.state == .blocked)
            let mail = try #require(rig.resend.mails.last)
            #expect(mail.subject == "[Toko] Nobody has acknowledged this: A sender cannot send")
            // The chat is not written to again.
            let calls = rig.telegram.calls.count
            try await rig.run(for: 1_200)
            #expect(rig.telegram.calls.count == calls)
            #expect(rig.resend.mails.count { $0.subject.contains("Nobody has acknowledged") } == 1)
        }
    }

    @Test func `Nobody acknowledges: after a quarter of an hour it goes out by e-mail, once`() async throws {
        try await withAlerts { rig in
            try await rig.addEmail("ops@example.com", ChannelFields(isEscalationOnly: true))
            try await rig.link()
            try await rig.state(.disconnected)
            try await rig.run(for: 1_050)
            let before = rig.resend.mails.count
            try await rig.run(for: 60)
            try await rig.run(for: 1_800)
            #expect(before == 1)
            #expect(rig.resend.mails.dropFirst(before).map(\.subject) == ["[Toko] Nobody has acknowledged this: A sender cannot send"])
        }
    }

    @Test func `Who blocks the bot is believed at once, and a group that throws it out too`() async throws {
        try await withAlerts { rig in
            let channel = try await rig.link()
            let group = FakeTelegram.Chat(-500, name: "Ops")
            let second = try await rig.link(group)
            rig.telegram.block(rig.chat)
            rig.telegram.block(group)
            try await rig.run(for: 10)
            for id in [channel.id, second.id] { #expect(try await rig.gateway.alerts.channel(id, account: rig.account)?.state == .blocked) }
        }
    }

    @Test func `Telegram's wait is kept exactly, and the alert arrives after it`() async throws {
        try await withAlerts { rig in
            try await rig.link()
            try await rig.run(for: 30)
            try await rig.state(.disconnected)
            rig.telegram.order(.flood(retryAfter: 35), for: "sendMessage")
            try await rig.run(for: 190)
            let refused = try #require(rig.telegram.calls.last)
            #expect(refused.method == "sendMessage" && rig.telegram.messages(in: rig.chat.id).count { $0.html.contains("cannot send") } == 0)
            try await rig.run(for: 60)
            let sent = rig.telegram.calls.filter { $0.text == refused.text }
            #expect(sent.count == 2 && sent[1].at.timeIntervalSince(sent[0].at) >= 35)
            #expect(rig.telegram.messages(in: rig.chat.id).count { $0.html.contains("cannot send") } == 1)
        }
    }

    @Test func `A group that became a supergroup is followed`() async throws {
        try await withAlerts { rig in
            let group = FakeTelegram.Chat(-500, name: "Ops")
            let channel = try await rig.link(group)
            rig.telegram.migrate(group, to: -1_000_000_000_500)
            try await rig.state(.disconnected)
            try await rig.run(for: 240)
            #expect(rig.telegram.messages(in: -1_000_000_000_500).count { $0.html.contains("cannot send") } == 1)
            guard case .telegram(let chat) = try #require(try await rig.gateway.alerts.channel(channel.id, account: rig.account)).address else {
                throw TestFailure("no chat")
            }
            #expect(chat.id == -1_000_000_000_500 && chat.kind == .supergroup)
        }
    }

    @Test func `Trouble at Resend is tried again under the same key until it is taken, once`() async throws {
        try await withAlerts { rig in
            try await rig.addEmail("ops@example.com")
            try await rig.state(.disconnected)
            rig.resend.order(.server(500), .closeAfterAccept, .concurrent, .limited(retryAfter: 17), .unauthorized)
            try await rig.run(for: 3_600)
            let calls = rig.resend.calls.filter { String(decoding: $0.body, as: UTF8.self).contains("cannot send") && $0.path == "/emails" }
            #expect(calls.count == 6 && Set(calls.map(\.key)).count == 1 && Set(calls.map(\.body)).count == 1)
            #expect(calls[4].at.timeIntervalSince(calls[3].at) >= 17)
            #expect(rig.resend.mails.count { $0.subject.contains("cannot send") } == 1)
            #expect(rig.resend.complaints == [])
        }
    }

    @Test func `While Resend is away one e-mail finds that out, the chat is told meanwhile, and then every address is`() async throws {
        try await withAlerts { rig in
            for place in 0..<4 { try await rig.addEmail("p\(place)@example.com") }
            try await rig.link()
            try await rig.state(.disconnected)
            try await rig.run(for: 170)
            let before = rig.resend.calls.count
            rig.resend.order(.server(503))
            for _ in 0..<3 where !rig.telegram.messages(in: rig.chat.id).contains(where: { $0.html.contains("cannot send") }) {
                try await rig.run(for: 10)
            }
            #expect(rig.resend.calls.count == before + 1)
            #expect(rig.telegram.messages(in: rig.chat.id).count { $0.html.contains("cannot send") } == 1)
            try await rig.run(for: 120)
            let told = rig.resend.mails.filter { $0.subject.contains("cannot send") }.flatMap { $0.to }
            #expect(told.sorted() == ["p0@example.com", "p1@example.com", "p2@example.com", "p3@example.com"])
        }
    }

    @Test func `Trouble at Telegram is tried again`() async throws {
        try await withAlerts { rig in
            try await rig.link()
            try await rig.state(.disconnected)
            rig.telegram.order(.server(502), .close, .garbage, for: "sendMessage")
            try await rig.run(for: 900)
            #expect(rig.telegram.messages(in: rig.chat.id).count { $0.html.contains("cannot send") } == 1)
        }
    }

    @Test func `An address that Resend never takes ends its notice and stops no other`() async throws {
        try await withAlerts { rig in
            try await rig.addEmail("one@example.com")
            try await rig.addEmail("two@example.com")
            try await rig.state(.disconnected)
            rig.resend.order(.refused("validation_error"))
            try await rig.run(for: 400)
            #expect(rig.resend.mails.count { $0.subject.contains("cannot send") } == 1)
        }
    }

    @Test func `Digests of many go out as one request, under one key until it is taken, and one by one when one of them is wrong`() async throws {
        try await withAlerts { rig in
            for place in 0..<3 { try await rig.addEmail("p\(place)@example.com") }
            try await rig.skip(to: Date(timeIntervalSince1970: 1_780_016_390))
            rig.resend.order(.closeAfterAccept)
            try await rig.run(for: 120)
            let batches = rig.resend.calls.filter { $0.path == "/emails/batch" }
            #expect(batches.count == 2 && batches[0].key == batches[1].key && batches[0].body == batches[1].body)
            let digests = rig.resend.mails.filter { $0.subject.contains("Daily summary") }
            #expect(Set(digests.flatMap(\.to)) == ["p0@example.com", "p1@example.com", "p2@example.com"] && digests.count == 3)
            let isTogether = digests.allSatisfy { $0.isOfBatch }
            #expect(isTogether)

            // The next day one of them is refused.
            try await rig.skip(to: Date(timeIntervalSince1970: 1_780_016_390 + 86_400))
            rig.resend.order(.refused("validation_error"))
            try await rig.run(for: 120)
            let second = rig.resend.mails.filter { $0.subject.contains("Daily summary") }.dropFirst(3)
            let keys = Set(second.map { $0.key })
            #expect(second.count == 3 && !second.contains { $0.isOfBatch } && keys.count == 3)
        }
    }

    // MARK: The database

    @Test func `The operator hears that the database is away from memory, once, and that it is back`() async throws {
        try await withAlerts { rig in
            let isAway = Mutex(false)
            let service = try rig.restarted(probe: { if isAway.withLock({ $0 }) { throw DatabaseError(.unavailable) } })
            try await rig.link()
            try await rig.addEmail("ops@example.com")
            _ = await service.poll()
            await service.watchDatabase()
            let before = (rig.telegram.messages(in: rig.chat.id).count, rig.resend.mails.count)

            isAway.withLock { $0 = true }
            for _ in 0..<5 {
                rig.clock.advance(by: 10)
                await service.watchDatabase()
            }
            #expect(rig.telegram.messages(in: rig.chat.id).count == before.0)
            for _ in 0..<20 {
                rig.clock.advance(by: 10)
                await service.watchDatabase()
            }
            #expect(rig.telegram.messages(in: rig.chat.id).count == before.0 + 1)
            #expect(rig.telegram.messages(in: rig.chat.id).last?.html.contains("The database does not answer") == true)
            #expect(rig.resend.mails.count == before.1 + 1)

            isAway.withLock { $0 = false }
            await service.watchDatabase()
            try await rig.run(for: 120)
            let messages = rig.telegram.messages(in: rig.chat.id).dropFirst(before.0)
            #expect(messages.count { $0.html.contains("does not answer") } == 2)
            #expect(messages.last?.html.contains("Over: The database does not answer") == true)
            let history = try await rig.gateway.alerts.history(account: rig.account, AlertFilter(), page: PageRequest(limit: 50), now: rig.test.now)
            #expect(history.data.count { $0.kind == .databaseTrouble } == 1)
        }
    }

    @Test func `Who cannot be told that the database is away is told as soon as it can be`() async throws {
        try await withAlerts { rig in
            let service = try rig.restarted(probe: { throw DatabaseError(.unavailable) })
            try await rig.link()
            // Whom to tell was looked up while all was well.
            let isAway = Mutex(false)
            let later = try rig.restarted(probe: { if isAway.withLock({ $0 }) { throw DatabaseError(.unavailable) } })
            _ = await later.poll()
            await later.watchDatabase()
            isAway.withLock { $0 = true }
            rig.telegram.order(.server(502), .server(502), .server(502), .server(502), for: "sendMessage")
            for _ in 0..<12 {
                rig.clock.advance(by: 10)
                await later.watchDatabase()
                await service.watchDatabase()
            }
            #expect(rig.telegram.messages(in: rig.chat.id).count { $0.html.contains("does not answer") } == 1)
        }
    }

    @Test func `A short absence of the database is told to nobody`() async throws {
        try await withAlerts { rig in
            let isAway = Mutex(false)
            let service = try rig.restarted(probe: { if isAway.withLock({ $0 }) { throw DatabaseError(.unavailable) } })
            try await rig.link()
            _ = await service.poll()
            await service.watchDatabase()
            let before = rig.telegram.calls.count
            for away in [true, true, true, false, true, true, true, false] {
                isAway.withLock { $0 = away }
                rig.clock.advance(by: 10)
                await service.watchDatabase()
            }
            try await rig.run(for: 30)
            #expect(rig.telegram.calls.count == before)
        }
    }
}
