@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

/// Notices on their way: claims, tries, dead channels, escalation, digests, and what stands in none of them.
@Suite struct AlertNoticeTests {
    @Test func `a notice that fails is tried with one content for 23 hours, and then told anew if it still holds`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            let start = test.now
            let first = try #require(try await test.claimNotices().first)
            var notice = first
            var tries = 1
            while true {
                try await test.gateway.alerts.record(NoticeReport(notice, .again(code: "server_error"), at: test.now))
                let log = try await test.gateway.alerts.notices(of: stage.channel, account: stage.account, now: test.now).data
                guard log.first(where: { $0.id == first.id })?.state == .pending else { break }
                // Nobody gets it before its time.
                #expect(try await test.claimNotices().isEmpty)
                test.clock.advance(by: NoticeSchedule.delays[min(tries, NoticeSchedule.delays.count) - 1] * 1.2 + 1)
                notice = try #require(try await test.claimNotices().first)
                tries += 1
                #expect(notice.id == first.id && notice.content == first.content && notice.tries == tries && notice.firstTriedAt != nil)
            }
            #expect(test.now.timeIntervalSince(start) > 18 * 3_600 && (8...13).contains(tries))
            let dead = try #require(
                try await test.gateway.alerts.notices(of: stage.channel, account: stage.account, now: test.now).data.first { $0.id == first.id })
            #expect(dead.state == .dead && dead.code == "expired" && dead.attempts == tries)
            try await test.step(after: 10)
            let anew = try #require(try await test.claimNotices().first)
            #expect(anew.id != first.id && anew.content.items.map(\.alert) == first.content.items.map(\.alert) && anew.tries == 1)
        }
    }

    @Test func `a claim whose node is gone passes to another, and what the first one says later does no harm`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            let first = try #require(try await test.claimNotices().first)
            #expect(try await test.claimNotices().isEmpty)
            test.clock.advance(by: 61)
            let second = try #require(try await test.claimNotices().first)
            try await test.gateway.alerts.record(NoticeReport(first, .dead(code: "rejected"), at: test.now))
            try await test.gateway.alerts.record(NoticeReport(first, .released, at: test.now))
            #expect(try await test.claimNotices().isEmpty)
            try await test.gateway.alerts.record(NoticeReport(second, .released, at: test.now))
            let third = try #require(try await test.claimNotices().first)
            #expect(third.tries == second.tries)
            // A late success is one.
            try await test.gateway.alerts.record(NoticeReport(first, .sent(telegramMessage: 77), at: test.now))
            try await test.gateway.alerts.record(NoticeReport(third, .again(code: "timeout"), at: test.now))
            test.clock.advance(by: 3_600)
            #expect(try await test.claimNotices().isEmpty)
            let log = try await test.gateway.alerts.notices(of: stage.channel, account: stage.account, now: test.now).data
            #expect(log.first { $0.id == first.id }?.state == .sent)
            // The end of the alert knows where it was told of.
            try await test.setState(stage.sender, .ready)
            try await test.step()
            let cleared = try #require(try await test.claimNotices().first)
            #expect(cleared.occasion == .cleared && cleared.earlierMessages == [77])
        }
    }

    @Test func `a dead chat is told of elsewhere, what was to go there is dead, and critical alerts go to e-mail at once`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let mail = try await test.linkEmail(stage.account, "ops@toko.co.id", ChannelFields(isEscalationOnly: true))
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            let claimed = try await test.claimNotices()
            #expect(claimed.map(\.channel.id) == [stage.channel])
            try await test.gateway.alerts.record(NoticeReport(claimed[0], .blocked(code: "bot_blocked"), at: test.now))
            try await test.step(after: 10)
            let told = try await test.deliverNotices()
            #expect(told.map(\.occasion) == [.escalated] && told.first?.channel.id == mail)
            #expect(told.first?.content.items.map(\.kind) == [.senderLoggedOut])
            let channel = try await test.gateway.alerts.channel(stage.channel, account: stage.account)
            #expect(channel?.state == .blocked && channel?.stateCode == "bot_blocked")
            #expect(try await test.alerts(stage.account, .channelDead).count == 1)
            #expect(try await test.alerts(stage.account, .senderLoggedOut).first?.escalatedAt != nil)
            // Whoever was told hears of the end.
            try await test.setState(stage.sender, .ready)
            try await test.step(after: 10)
            #expect(try await test.deliverNotices().map(\.occasion) == [.cleared])
        }
    }

    @Test func `a critical alert that nobody acknowledges goes to e-mail after fifteen minutes, one that somebody does not`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let mail = try await test.linkEmail(stage.account, "ops@toko.co.id", ChannelFields(isEscalationOnly: true))
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            let first = try await test.deliverNotices()
            try await test.steps(14, every: 60)
            #expect(try await test.deliverNotices().isEmpty)
            try await test.step(after: 61)
            #expect(try await test.deliverNotices().map(\.channel.id) == [mail])
            try await test.steps(20, every: 60)
            #expect(try await test.deliverNotices().isEmpty)

            let other = try await test.makeLiveSender(stage.account, label: "CS 2")
            try await test.setState(other, .replaced)
            try await test.step()
            let second = try await test.deliverNotices()
            // The button under the second notice, pressed in its chat, and in another one.
            #expect(try await test.gateway.alerts.act(.acknowledge, on: second[0].id, chat: 999, now: test.now) == nil)
            #expect(try await test.gateway.alerts.act(.acknowledge, on: second[0].id, chat: TestGateway.chat, now: test.now)?.count == 1)
            #expect(try await test.gateway.alerts.act(.silence(3_600), on: first[0].id, chat: TestGateway.chat, now: test.now)?.count == 1)
            try await test.steps(20, every: 60)
            #expect(try await test.deliverNotices().isEmpty)
            let replaced = try #require(try await test.alerts(stage.account, .senderReplaced).first)
            #expect(replaced.acknowledgedBy == .channel(stage.channel) && replaced.ending == .acknowledged)
            #expect(try await test.alerts(stage.account, .senderLoggedOut).first?.silencedUntil != nil)
        }
    }

    @Test func `silenced alerts and muted channels are silent, and say what still holds when that ends`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let second = try await test.makeLiveSender(stage.account, label: "CS 2")
            _ = try await test.deliverNotices()
            _ = try await test.gateway.alerts.mute(stage.channel, account: stage.account, until: test.now.addingTimeInterval(3_600), now: test.now)
            try await test.setState(stage.sender, .loggedOut)
            try await test.steps(3, every: 60)
            #expect(try await test.deliverNotices().isEmpty)
            try await test.step(after: 3_600)
            #expect(try await test.deliverNotices().map(\.occasion) == [.fired])
            let alert = try #require(try await test.alerts(stage.account).first)
            _ = try await test.gateway.alerts.silence(
                alert.id, account: stage.account, until: test.now.addingTimeInterval(3_600), by: .channel(stage.channel), now: test.now)
            try await test.setState(second, .loggedOut)
            try await test.steps(10, every: 60)
            #expect(try await test.deliverNotices().isEmpty)
            try await test.step(after: 3_600)
            #expect(try await test.deliverNotices().map(\.occasion) == [.more])
        }
    }

    @Test func `rules decide: disabled ones are silent and end what is open, other thresholds and severities hold`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let alerts = test.gateway.alerts
            _ = try await test.deliverNotices()
            _ = try await alerts.setRule(.senderDown, account: stage.account, AlertRuleFields(severity: "warning", openAfter: 600), now: test.now)
            _ = try await alerts.setRule(.keyCreated, account: stage.account, AlertRuleFields(isEnabled: false), now: test.now)
            try await test.setState(stage.sender, .disconnected)
            _ = try await test.gateway.apiKeys.create(account: stage.account, label: "Kasir", test: false, now: test.now)
            try await test.steps(9, every: 60)
            #expect(try await test.alerts(stage.account).isEmpty)
            try await test.step(after: 60)
            let alert = try #require(try await test.alerts(stage.account).first)
            #expect(alert.kind == .senderDown && alert.severity == .warning)
            _ = try await alerts.setRule(.senderDown, account: stage.account, AlertRuleFields(isEnabled: false), now: test.now)
            try await test.step(after: 10)
            #expect(try await test.alerts(stage.account).first?.ending == .disabled)
            let rules = try await alerts.rules(stage.account)
            #expect(rules.map(\.kind) == AlertKind.allCases && rules.filter { !$0.isDefault }.map(\.kind) == [.senderDown, .keyCreated])
            _ = try await alerts.resetRule(.senderDown, account: stage.account)
            #expect(try await alerts.rules(stage.account).filter { !$0.isDefault }.map(\.kind) == [.keyCreated])
            // The database refuses the impossible too, whoever writes.
            for wrong in ["share = 1.5", "open_after = -1", "age = 10", "minimum = 0", "escalate_after = 1"] {
                await #expect(throws: DatabaseError.self) {
                    try await test.owner.execute("test.rule", "UPDATE alert_rules SET \(unescaped: wrong)")
                }
            }
        }
    }

    @Test func `digests come once a day and self-tests once a week, with the day's numbers, and late ones are left out`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            _ = try await test.deliverNotices()
            let daily = ChannelFields(zone: "UTC", digestHour: .to(8))
            _ = try await test.gateway.alerts.updateChannel(stage.channel, account: stage.account, daily, now: test.now)
            _ = try await test.gateway.alerts.updateChannel(stage.channel, account: stage.account, ChannelFields(digestHour: .to(9)), now: test.now)
            _ = try await test.tell(stage.account, count: 8, ["sent", "delivered"])
            _ = try await test.tell(stage.account, count: 2, ["failed"])
            try await test.setState(stage.sender, .loggedOut)
            var told: [(at: Date, occasion: AlertNotice.Occasion, digest: AlertDigest?)] = []
            for _ in 0..<(24 * 9) {
                try await test.step(after: 3_600)
                told += try await test.deliverNotices().map { (test.now, $0.occasion, $0.content.digest) }
            }
            let digests = told.filter { $0.occasion == .digest }
            #expect(digests.count == 9, "\(digests.map(\.at))")
            #expect(told.count { $0.occasion == .selfTest } == 1 && told.count { $0.occasion == .fired } == 1)
            let first = try #require(digests.first?.digest)
            #expect(first.sent == 8 && first.delivered == 8 && first.failed == 2 && first.senders == 1 && first.sendersReady == 0)
            #expect(first.lines == [AlertDigest.Line(kind: .senderLoggedOut, opened: 1, open: 1)])
            #expect(digests.last?.digest?.lines == [AlertDigest.Line(kind: .senderLoggedOut, opened: 0, open: 1)])
            // Nobody ran for a day and a half.
            try await test.step(after: 36 * 3_600)
            #expect(try await test.deliverNotices().filter { $0.occasion == .digest }.isEmpty)
            try await test.step(after: 24 * 3_600)
            // Turned off, there are none.
            _ = try await test.gateway.alerts.updateChannel(
                stage.channel, account: stage.account, ChannelFields(digestHour: .off, selfTest: false), now: test.now)
            _ = try await test.deliverNotices()
            for _ in 0..<10 { try await test.step(after: 86_400) }
            #expect(try await test.deliverNotices().isEmpty)
        }
    }

    @Test func `notices of a batch come together, and only whoever has claimed them may bind them`() async throws {
        try await withTestGateway { test in
            var stages: [AlertStage] = []
            for number in 0..<3 { stages.append(try await test.makeAlertStage(chat: 800_000_000 + Int64(number))) }
            _ = try await test.deliverNotices()
            for stage in stages { try await test.setState(stage.sender, .loggedOut) }
            try await test.step()
            let claimed = try await test.claimNotices()
            let batch = UUID()
            #expect(claimed.count == 3)
            #expect(try await test.gateway.alerts.batch(claimed, as: batch, now: test.now))
            for notice in claimed {
                try await test.gateway.alerts.record(
                    NoticeReport(notice, .again(at: test.now.addingTimeInterval(5), code: "rate_limited"), at: test.now))
            }
            test.clock.advance(by: 5)
            let together = try await test.claimNotices(limit: 1)
            #expect(together.count == 3 && together.allSatisfy { $0.batch == batch })
            // The first claim is over.
            #expect(try await !test.gateway.alerts.batch(claimed, as: UUID(), now: test.now))
            #expect(try await test.gateway.alerts.batch(together, as: nil, now: test.now))
        }
    }

    @Test func `a group that becomes a supergroup keeps its channel, a mail that bounces loses it`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let mail = try await test.linkEmail(stage.account, "ops@toko.co.id")
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            for notice in try await test.claimNotices() {
                let ending: NoticeReport.Ending =
                    notice.channel.kind == .telegram ? .migrated(to: -100_200_300) : .sent(provider: "4ef9a417-02e9-4d39")
                try await test.gateway.alerts.record(NoticeReport(notice, ending, at: test.now))
            }
            let again = try await test.claimNotices()
            #expect(again.map(\.channel.id) == [stage.channel])
            #expect(again.first?.channel.address == .telegram(TelegramChat(id: -100_200_300, kind: .supergroup, title: "Budi")))
            #expect(try await test.gateway.alerts.links(of: TestGateway.chat).isEmpty)
            #expect(try await test.gateway.alerts.links(of: -100_200_300).map(\.channel) == [stage.channel])
            try await test.gateway.alerts.chatMigrated(from: -100_200_300, to: -100_200_301)
            #expect(try await test.gateway.alerts.links(of: -100_200_301).map(\.channel) == [stage.channel])

            #expect(try await test.gateway.alerts.blockEmail(provider: "4ef9a417-02e9-4d39", code: "Bounce: ops@toko.co.id", now: test.now))
            #expect(try await !test.gateway.alerts.blockEmail(provider: "unknown", code: "bounced", now: test.now))
            let blocked = try await test.gateway.alerts.channel(mail, account: stage.account)
            #expect(blocked?.state == .blocked && blocked?.stateCode == "other")
        }
    }

    @Test func `no body, no recipient, no address stands in any notice, alert or condition`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            try await test.linkEmail(stage.account, "kanari@toko.co.id")
            let (_, testSender, owner) = try await test.makeReadySender(account: stage.account, label: "Uji")
            _ = try await test.deliverNotices()
            let accepted = try await test.gateway.messages.accept(
                test.message("KANARI-ISI-7391", to: "+628777000111"), caller: Caller(account: stage.account, isTest: true), idempotencyKey: nil,
                now: test.now)
            _ = owner
            _ = testSender
            _ = try await test.owner.execute("test.due", "UPDATE outbox SET due_at = \(test.now.addingTimeInterval(-3_600))")
            _ = try await test.owner.execute("test.live", "UPDATE senders SET test = false")
            try await test.setState(stage.sender, .loggedOut, code: "device_removed")
            _ = try await test.tell(stage.account, count: 40, ["failed"])
            var seen: [ClaimedNotice] = []
            for _ in 0..<10 {
                try await test.step(after: 60)
                seen += try await test.deliverNotices()
            }
            #expect(Set(seen.flatMap { $0.content.items.map(\.kind) }) == [.senderLoggedOut, .queueOld, .failureShare])
            let canaries = ["KANARI", "628777000111", "8777000111", "kanari@", "700000001", accepted.message.id.description]
            func find(_ text: String, _ place: String) {
                for canary in canaries { #expect(!text.contains(canary), "\(canary) in \(place)") }
            }
            for notice in seen { find(String(describing: notice.content), "content") }
            for alert in try await test.alerts(stage.account) { find(String(describing: alert), "alert") }
            // First the control: what is looked for can be found.
            let control = try await test.owner.query("test.control", "SELECT 'KANARI-ISI-7391 628777000111'::text AS row") {
                try $0.column("row", as: String.self)
            }
            #expect(canaries.prefix(2).allSatisfy { canary in control.contains { $0.contains(canary) } })
            for table in [
                "alerts", "alert_notices", "alert_conditions", "alert_tellings", "alert_channels", "alert_rules", "message_tallies", "message_shares",
            ] {
                let rows = try await test.owner.query("test.rows", "SELECT row_to_json(t)::text AS row FROM \(unescaped: table) t") {
                    try $0.column("row", as: String.self)
                }
                for row in rows { find(row, table) }
                // Bytes stand in hex.
                for row in rows {
                    for canary in canaries { #expect(!row.contains(canary.utf8.map { String($0, radix: 16) }.joined()), "\(canary) in \(table)") }
                }
            }
        }
    }
}
