@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

/// How long things of alerts are kept, and who may see them.
@Suite struct AlertKeepingTests {
    private static let tables = [
        "alert_rules", "alert_channels", "telegram_links", "alerts", "alert_conditions", "alert_tellings", "alert_notices", "message_tallies",
        "message_shares",
    ]

    @Test func `notices are kept for seven days after success and thirty when dead, alerts for ninety after their end, and no sooner gone`()
        async throws
    {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            _ = try await test.tell(stage.account, count: 5, ["sent"])
            try await test.step()
            let sent = try #require(try await test.deliverNotices().first)
            try await test.setState(stage.sender, .ready)
            try await test.step(after: 400)
            let dead = try #require(try await test.claimNotices().first)
            try await test.gateway.alerts.record(NoticeReport(dead, .dead(code: "rejected"), at: test.now))
            try await test.step(after: 10)
            _ = try await test.gateway.alerts.isFirst(update: 1, bot: 1, now: test.now)
            let end = test.now
            func at(_ seconds: TimeInterval) async throws {
                test.clock.advance(by: end.addingTimeInterval(seconds).timeIntervalSince(test.now))
                _ = try await test.gateway.retention.runHourly(now: test.now)
            }
            func isThere(_ notice: AlertNotice.ID) async throws -> Bool {
                try await test.count("SELECT 1 AS one FROM alert_notices WHERE notice_id = \(notice)") == 1
            }
            let day: TimeInterval = 86_400
            try await at(25 * 3_600)
            #expect(try await test.count("SELECT 1 AS one FROM message_shares") == 1)
            try await at(27 * 3_600)
            #expect(try await test.count("SELECT 1 AS one FROM message_shares") == 0)
            try await at(3 * day - 60)
            #expect(try await test.count("SELECT 1 AS one FROM telegram_updates") == 1)
            try await at(3 * day + 1)
            #expect(try await test.count("SELECT 1 AS one FROM telegram_updates") == 0)
            try await at(7 * day - 500)
            #expect(try await isThere(sent.id))
            // Enforced on read as well.
            test.clock.advance(by: 501)
            let log = try await test.gateway.alerts.notices(of: stage.channel, account: stage.account, now: test.now).data
            #expect(!log.contains { $0.id == sent.id } && log.contains { $0.id == dead.id })
            try await at(7 * day + 1)
            #expect(try await !isThere(sent.id))
            try await at(30 * day - 60)
            #expect(try await isThere(dead.id))
            try await at(30 * day + 1)
            #expect(try await !isThere(dead.id))
            try await at(90 * day - 500)
            #expect(try await test.alerts(stage.account).count == 1)
            test.clock.advance(by: 501)
            #expect(try await test.alerts(stage.account).isEmpty)
            try await at(90 * day + 1)
            #expect(try await test.count("SELECT 1 AS one FROM alerts") == 0)
            #expect(try await test.count("SELECT 1 AS one FROM alert_tellings") == 0)
        }
    }

    @Test func `an alert that is open is kept for as long as it is`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            test.clock.advance(by: 400 * 86_400)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.alerts(stage.account).count == 1)
        }
    }

    @Test func `closing leaves nothing, and the verified addresses get the receipt within a day, after which they are gone`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let other = try await test.makeAlertStage(chat: 700_000_002)
            try await test.linkEmail(stage.account, "pemilik@toko.co.id", ChannelFields(language: "id"))
            _ = try await test.gateway.alerts.createEmail(
                account: stage.account, address: try .of("belum@toko.co.id"), now: test.now)
            _ = try await test.gateway.alerts.startTelegramLink(account: stage.account, now: test.now)
            _ = try await test.gateway.alerts.setRule(.queueOld, account: stage.account, AlertRuleFields(age: 60), now: test.now)
            for one in [stage, other] {
                try await test.setState(one.sender, .loggedOut)
                _ = try await test.tell(one.account, count: 3, ["sent"])
            }
            try await test.step()
            _ = try await test.tell(stage.account, count: 3, ["sent"])
            let claimed = try await test.claimNotices()
            _ = try await test.owner.execute("test.unheld", "UPDATE sender_leases SET holder = NULL, expires_at = '-infinity'")
            for table in Self.tables {
                #expect(try await test.count("SELECT 1 AS one FROM \(unescaped: table) WHERE account_id = \(stage.account)") > 0, "\(table)")
            }
            _ = try await test.gateway.closing.begin(stage.account, patience: 0, now: test.now)
            // Between the steps nothing new comes about.
            try await test.step(after: 60)
            #expect(try await test.gateway.alerts.claimReceipts(now: test.now, deadline: test.now.addingTimeInterval(60)).isEmpty)
            let now = test.now
            let receipt = try #require(try await test.gateway.closing.close(stage.account, patience: 0, pause: .zero, now: { now }))
            for notice in claimed { try await test.gateway.alerts.record(NoticeReport(notice, .again(code: "timeout"), at: test.now)) }
            for table in Self.tables {
                #expect(try await test.count("SELECT 1 AS one FROM \(unescaped: table) WHERE account_id = \(stage.account)") == 0, "\(table)")
            }
            #expect(try await test.alerts(other.account).count == 1)

            let rows = try await test.owner.query("test.mails", "SELECT row_to_json(m)::text AS row FROM receipt_mails m") {
                try $0.column("row", as: String.self)
            }
            #expect(rows.count == 1 && !rows[0].contains("pemilik") && !rows[0].contains(stage.account.uuid.uuidString.lowercased()))
            let first = try await test.gateway.alerts.claimReceipts(now: test.now, deadline: test.now.addingTimeInterval(60))
            #expect(
                first.map(\.address.text) == ["pemilik@toko.co.id"] && first.first?.receipt.id == receipt.id && first.first?.language == .indonesian)
            #expect(try await test.gateway.alerts.claimReceipts(now: test.now, deadline: test.now.addingTimeInterval(60)).isEmpty)
            try await test.gateway.alerts.record(first[0], sent: false, now: test.now)
            test.clock.advance(by: 300)
            let second = try await test.gateway.alerts.claimReceipts(now: test.now, deadline: test.now.addingTimeInterval(60))
            #expect(second.first?.tries == 2 && second.first?.id == first.first?.id)
            test.clock.advance(by: 86_400)
            #expect(try await test.gateway.alerts.claimReceipts(now: test.now, deadline: test.now.addingTimeInterval(60)).isEmpty)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.count("SELECT 1 AS one FROM receipt_mails") == 0)
        }
    }

    @Test func `a receipt that is sent leaves no address behind`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            try await test.linkEmail(account, "pemilik@toko.co.id")
            let now = test.now
            _ = try await test.gateway.closing.close(account, patience: 0, pause: .zero, now: { now })
            let receipt = try #require(try await test.gateway.alerts.claimReceipts(now: now, deadline: now.addingTimeInterval(60)).first)
            try await test.gateway.alerts.record(receipt, sent: true, now: now)
            #expect(try await test.count("SELECT 1 AS one FROM receipt_mails") == 0)
        }
    }

    @Test func `without its account in the transaction a login sees none of it`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let other = try await test.gateway.accounts.create(name: "Warung", now: test.now).id
            _ = try await test.gateway.alerts.setRule(.queueOld, account: stage.account, AlertRuleFields(age: 60), now: test.now)
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            let alert = try #require(try await test.alerts(stage.account).first)
            for settings in [[], Databases.accounts([other])] {
                for table in ["alert_rules", "alert_channels", "alerts", "alert_conditions", "alert_tellings", "alert_notices"] {
                    let rows = try await test.gateway.databases.engine.query(
                        "test.rows", "SELECT 1 AS one FROM \(unescaped: table)", settings: settings, as: { try $0.column("one", as: Int.self) })
                    #expect(rows.isEmpty, "\(table)")
                }
            }
            let alerts = test.gateway.alerts
            #expect(try await alerts.alert(alert.id, account: other, now: test.now) == nil)
            #expect(try await alerts.acknowledge(alert.id, account: other, by: .channel(stage.channel), now: test.now) == nil)
            #expect(try await alerts.silence(alert.id, account: other, until: test.now, by: .channel(stage.channel), now: test.now) == nil)
            #expect(try await alerts.channel(stage.channel, account: other) == nil)
            #expect(try await !alerts.deleteChannel(stage.channel, account: other))
            #expect(try await alerts.notices(of: stage.channel, account: other, now: test.now).data.isEmpty)
            #expect(try await alerts.alert(alert.id, account: stage.account, now: test.now)?.acknowledgedAt == nil)
            // Nor may the one who serves requests write what only the watcher does.
            await #expect(throws: DatabaseError.self) {
                try await test.gateway.databases.api.execute(
                    "test.clear", "UPDATE alerts SET done = true", settings: Databases.accounts([stage.account]))
            }
        }
    }

    @Test func `an account's standing says what is open, how its senders are and what waits`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            _ = try await test.makeLiveSender(stage.account, label: "CS 2")
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            let overview = try await test.gateway.alerts.overview(stage.account, now: test.now)
            #expect(overview.accountName == "Toko" && overview.openCount == 1 && overview.open.first?.subjects.first?.label == "CS 1")
            #expect(
                overview.senders == [.loggedOut: 1, .ready: 1] && overview.queued == 0 && overview.oldestDue == nil && overview.mutedUntil == nil)
        }
    }
}
