@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

/// A scenario for every kind: real rows, an injected clock, and a new process at every step.
@Suite struct AlertScenarioTests {
    @Test(arguments: AlertKind.allCases)
    func `every kind fires once, stays silent while it lasts, and clears once`(kind: AlertKind) async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let other = try await test.makeAlertStage(chat: 700_000_002, name: "Warung")
            let scenario = AlertScenario(kind: kind, test: test, stage: stage)
            let told = TestBox<[ClaimedNotice]>([])
            let operatorAccount = kind.isGatewayWide ? stage.account : nil
            func run(_ minutes: Int) async throws {
                for _ in 0..<minutes {
                    try await test.step(after: 60, operator: operatorAccount)
                    told.set(told.value + (try await test.deliverNotices()))
                }
            }
            try await run(1)
            #expect(try await test.alerts(stage.account).isEmpty && told.value.isEmpty)

            try await scenario.cause()
            try await run(scenario.minutesToOpen)
            let opened = try await test.alerts(stage.account)
            #expect(opened.map(\.kind) == [kind] && opened.first?.clearedAt == nil, "\(opened)")
            #expect(told.value.map(\.occasion) == [.fired] && told.value.first?.content.items.map(\.kind) == [kind])
            #expect(told.value.first?.channel.id == stage.channel && told.value.first?.content.items.first?.severity == kind.severity)
            try await run(kind == .databaseTrouble ? 5 : 12)
            #expect(told.value.count == 1)

            try await scenario.remedy()
            try await run(scenario.minutesToClear)
            let cleared = try await test.alerts(stage.account)
            #expect(cleared.count == 1 && cleared.first?.clearedAt != nil && cleared.first?.openCount == 0, "\(cleared)")
            #expect(cleared.first?.ending == (kind.isEvent ? .acknowledged : .recovered))
            #expect(told.value.map(\.occasion) == (kind.isEvent ? [.fired] : [.fired, .cleared]))
            try await run(12)
            #expect(told.value.count == (kind.isEvent ? 1 : 2))
            #expect(try await test.alerts(stage.account).count == 1)
            #expect(try await test.count("SELECT 1 AS one FROM alerts WHERE NOT done") == 0)
            #expect(try await test.count("SELECT 1 AS one FROM alert_conditions WHERE ended_at IS NULL") == 0)
            // Nobody else has anything to do with it.
            #expect(try await test.alerts(other.account).isEmpty)
            #expect(told.value.allSatisfy { $0.account == stage.account })
        }
    }

    @Test func `nothing is told of test things, unless the gateway is a sandbox`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            try await test.linkChat(account, chat: TestGateway.chat)
            let sender = try await test.makeLiveSender(account, isTest: true)
            try await test.setState(sender, .loggedOut, code: "device_removed")
            _ = try await test.tell(account, count: 40, ["failed"], isTest: true)
            for _ in 0..<3 { try await test.step(after: 60) }
            #expect(try await test.alerts(account).isEmpty)
            for _ in 0..<3 { try await test.step(after: 60, includesTest: true) }
            #expect(Set(try await test.alerts(account).map(\.kind)) == [.senderLoggedOut, .failureShare])
        }
    }

    @Test func `a sender that flaps below the thresholds is silent, and one that is down comes back only after five good minutes`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            for _ in 0..<6 {
                try await test.setState(stage.sender, .disconnected)
                try await test.steps(17, every: 10)
                try await test.setState(stage.sender, .ready)
                try await test.step(after: 10)
            }
            #expect(try await test.alerts(stage.account).isEmpty)

            try await test.setState(stage.sender, .disconnected)
            try await test.steps(18, every: 10)
            #expect(try await test.alerts(stage.account).count == 1)
            for _ in 0..<4 {
                try await test.setState(stage.sender, .ready)
                try await test.steps(29, every: 10)
                try await test.setState(stage.sender, .connecting)
                try await test.step(after: 10)
            }
            #expect(try await test.alerts(stage.account).map(\.clearedAt) == [nil])
            try await test.setState(stage.sender, .ready)
            try await test.steps(31, every: 10)
            let alerts = try await test.alerts(stage.account)
            #expect(alerts.count == 1 && alerts.first?.ending == .recovered)
        }
    }

    @Test func `a sender that no node holds is down, one that is parked on purpose or removed is not`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let parked = try await test.makeLiveSender(stage.account, label: "CS 2")
            let removed = try await test.makeLiveSender(stage.account, label: "CS 3")
            _ = try await test.owner.execute("test.lose", "UPDATE sender_leases SET expires_at = '-infinity' WHERE sender_id = \(stage.sender)")
            try await test.setState(parked, .parked, code: AlertFacts.parkedOnPurpose)
            try await test.setState(removed, .disconnected)
            try await test.step()
            try await test.setState(removed, .removed)
            try await test.steps(4, every: 60)
            let alerts = try await test.alerts(stage.account)
            #expect(alerts.map(\.kind) == [.senderDown] && alerts.first?.subjects.map(\.label) == ["CS 1"])
            #expect(alerts.first?.figures.code == "no_node")
        }
    }

    @Test func `a thousand senders that drop at once are one alert and one notice`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            try await test.addSenders(999, stage.account)
            _ = try await test.deliverNotices()
            _ = try await test.owner.execute(
                "test.drop", "UPDATE senders SET state = 'disconnected', state_since = \(test.now) WHERE account_id = \(stage.account)")
            var told: [ClaimedNotice] = []
            for _ in 0..<30 {
                try await test.step(after: 10)
                told += try await test.deliverNotices()
            }
            let alert = try #require(try await test.alerts(stage.account).first)
            #expect(try await test.alerts(stage.account).count == 1)
            #expect(alert.subjectCount == 1_000 && alert.openCount == 1_000 && alert.subjects.count == 20)
            #expect(told.count == 1 && told.first?.content.items.first?.subjectCount == 1_000)
            #expect(told.first?.content.items.first?.subjects.count == 20)
            _ = try await test.owner.execute(
                "test.back", "UPDATE senders SET state = 'ready', state_since = \(test.now) WHERE account_id = \(stage.account)")
            for _ in 0..<32 {
                try await test.step(after: 10)
                told += try await test.deliverNotices()
            }
            #expect(told.map(\.occasion) == [.fired, .cleared])
        }
    }

    @Test func `senders that drop one after another are told in one notice per five minutes`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            try await test.addSenders(60, stage.account)
            _ = try await test.deliverNotices()
            let senders = try await test.gateway.senders.list(stage.account).map(\.id)
            var moments: [Date] = []
            var occasions: [AlertNotice.Occasion] = []
            for sender in senders.prefix(60) {
                try await test.setState(sender, .loggedOut)
                try await test.step(after: 20)
                for notice in try await test.deliverNotices() {
                    moments.append(test.now)
                    occasions.append(notice.occasion)
                }
            }
            // Twenty minutes.
            #expect((3...5).contains(moments.count), "\(moments)")
            #expect(zip(moments, moments.dropFirst()).allSatisfy { $1.timeIntervalSince($0) >= 300 })
            #expect(occasions.first == .fired && occasions.dropFirst().allSatisfy { $0 == .more })
            #expect(try await test.alerts(stage.account).count == 1)
        }
    }

    @Test func `what is critical and new breaks in, and is then told no more often than anything else`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let second = try await test.makeLiveSender(stage.account, label: "CS 2")
            let third = try await test.makeLiveSender(stage.account, label: "CS 3")
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            try await test.step()
            try await test.setState(second, .replaced)
            try await test.step(after: 10)
            #expect(try await test.deliverNotices().count == 2)
            // Of the same kinds: it waits.
            try await test.setState(third, .loggedOut)
            try await test.step(after: 10)
            _ = try await test.gateway.apiKeys.create(account: stage.account, label: "Kasir", test: false, now: test.now)
            try await test.step(after: 10)
            #expect(try await test.deliverNotices().isEmpty)
            try await test.step(after: 280)
            let told = try await test.deliverNotices()
            #expect(told.count == 1 && told.first?.content.items.map(\.kind) == [.senderLoggedOut, .keyCreated])
            #expect(told.first?.content.items.last?.subjects.first?.label == "Kasir")
        }
    }

    @Test func `gateway-wide alerts go to the operator's account alone, one for all senders, at most one notice a minute`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let other = try await test.makeAlertStage(chat: 700_000_002)
            _ = try await test.deliverNotices()
            for sender in [stage.sender, other.sender] { try await test.setState(sender, .clientOutdated, code: "405") }
            try await test.step(operator: stage.account)
            let told = try await test.deliverNotices()
            #expect(told.map(\.account) == [stage.account] && told.first?.content.items.map(\.kind) == [.clientOutdated])
            #expect(told.first?.content.items.first?.figures.count == 2)
            // The hourly job is late, and the last notice was 30 s ago; it is no critical one, so it waits.
            _ = try await test.owner.execute(
                "test.old", "UPDATE alert_watch SET looked_at = '-infinity', started_at = \(test.now.addingTimeInterval(-8_000))")
            try await test.step(after: 30, operator: stage.account)
            #expect(try await test.deliverNotices().isEmpty)
            try await test.step(after: 31, operator: stage.account)
            #expect(try await test.deliverNotices().map { $0.content.items.map(\.kind) } == [[.cronLate]])
            #expect(try await test.gateway.alerts.operatorAccount(nil) == nil)
            #expect(try await test.gateway.alerts.operatorAccount(other.account) == other.account)
        }
    }

    @Test func `a backlog of messages costs a step no more than its senders do`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            let start = test.now.addingTimeInterval(-900)
            _ = try await test.owner.execute(
                "test.backlog",
                """
                INSERT INTO outbox (account_id, message_id, sender_id, state, priority, due_at, expires_at, at_most_once, preview_url, wire_id)
                SELECT \(stage.account), gen_random_uuid(), \(stage.sender), 'accepted', 1, \(start) + make_interval(secs => n / 100.0),
                    \(test.now.addingTimeInterval(86_400)), false, false, 'w'
                FROM generate_series(1, 30000) AS n
                """)
            _ = try await test.owner.execute("test.analyze", "ANALYZE outbox")
            // Not by the clock, which says what else the machine has to do: by the rows that the database read.
            let read = try await test.gateway.databases.engine.transaction { transaction in
                _ = try await transaction.query(
                    "test.slow", "SELECT source FROM gateway_alert_slow_facts(\(test.now), false)", as: { _ in })
                return try await transaction.query(
                    "test.read", "SELECT (idx_tup_fetch + seq_tup_read)::bigint AS read FROM pg_stat_xact_user_tables WHERE relname = 'outbox'"
                ) { try $0.column("read", as: Int.self) }
            }
            #expect(read.count == 1 && (1...10).contains(read[0]), "\(read)")
            try await test.step()
            #expect(try await test.alerts(stage.account).first?.figures.age == 899)
        }
    }

    @Test func `nodes that step at the same time tell once`() async throws {
        try await withTestGateway { test in
            let stage = try await test.makeAlertStage()
            // The look at what changes slowly has its own row; here it is not its turn.
            try await test.step()
            _ = try await test.deliverNotices()
            try await test.setState(stage.sender, .loggedOut)
            let (first, second) = try await test.owner.transaction(deadline: .seconds(120)) { transaction in
                _ = try await transaction.execute("test.lock", "LOCK TABLE alert_conditions IN SHARE MODE")
                // This one has read and cannot write yet: somebody holds what it writes.
                let first = Task { try await test.step() }
                let waiting: SQL = "SELECT 1 AS one FROM pg_locks WHERE relation = 'alert_conditions'::regclass AND NOT granted"
                while try await transaction.query("test.waiting", waiting, as: { _ in }).isEmpty { await Task.yield() }
                return (first, try await test.step())
            }
            #expect(second == Watched(isMine: false))
            #expect(try await first.value.opened == 1)
            #expect(try await test.step().opened == 0)
            #expect(try await test.deliverNotices().count == 1)
        }
    }
}

/// What causes each kind, and what ends it.
private struct AlertScenario {
    let kind: AlertKind
    let test: TestGateway
    let stage: AlertStage

    var minutesToOpen: Int {
        switch kind {
        case .senderDown: 3
        case .undeliveredShare: 21
        case .cronLate: 122
        default: 2
        }
    }

    var minutesToClear: Int {
        switch kind {
        case .senderQuota: 240
        case .senderTimeLocked: 61
        case .failureShare: 45
        case .undeliveredShare: 12
        default: 7
        }
    }

    func cause() async throws {
        let now = test.now
        switch kind {
        case .senderDown: try await test.setState(stage.sender, .disconnected, code: "closed")
        case .senderLoggedOut: try await test.setState(stage.sender, .loggedOut, code: "device_removed")
        case .senderReplaced: try await test.setState(stage.sender, .replaced, code: "conflict")
        case .senderBanned:
            try await health("paused_until, pause_code", now.addingTimeInterval(3_600), "temporarily_banned")
            try await test.setState(stage.sender, .temporarilyBanned, code: "402")
        case .senderTimeLocked: try await health("new_chats_until, new_chats_code", now.addingTimeInterval(3_600), "new_chat_limit")
        case .senderQuota:
            _ = try await test.owner.execute(
                "test.usage",
                """
                INSERT INTO sender_usage (account_id, sender_id, day_start, day_used, new_recipients_used)
                VALUES (\(stage.account), \(stage.sender), \(LimitWindow.day.start(at: now)), 1200, 930)
                """)
        case .failureShare:
            _ = try await test.tell(stage.account, count: 30, ["sent", "delivered"])
            _ = try await test.tell(stage.account, count: 10, ["failed"])
        case .undeliveredShare:
            _ = try await test.tell(stage.account, count: 20, ["sent", "delivered"])
            late.set(try await test.tell(stage.account, count: 15, ["sent"]))
        case .queueOld:
            _ = try await test.owner.execute(
                "test.queue",
                """
                INSERT INTO outbox (account_id, message_id, sender_id, state, priority, due_at, expires_at, at_most_once, preview_url, wire_id)
                VALUES (\(stage.account), gen_random_uuid(), \(stage.sender), 'accepted', 1, \(now.addingTimeInterval(-700)),
                    \(now.addingTimeInterval(86_400)), false, false, 'w')
                """)
        case .webhookFailing:
            let made = try await test.gateway.webhooks.create(
                account: stage.account, EndpointFields(url: "https://hooks.example.com/in"), test: false, now: now)
            try await endpoint(failures: 9, since: now.addingTimeInterval(-3_600))
            #expect(made != nil)
        case .channelDead:
            _ = try await test.linkChat(stage.account, chat: 700_000_009)
            _ = try await test.deliverNotices()
            try await test.gateway.alerts.chatBlocked(700_000_009, code: "bot_blocked", now: now)
        case .keyCreated: _ = try await test.gateway.apiKeys.create(account: stage.account, label: "Kasir", test: false, now: now)
        case .cronLate: break
        case .databaseTrouble:
            _ = try await test.gateway.alerts.recordDatabaseTrouble(account: stage.account, from: now, to: nil, code: "unavailable", now: now)
        case .clientOutdated: try await test.setState(stage.sender, .clientOutdated, code: "405")
        }
    }

    func remedy() async throws {
        let now = test.now
        switch kind {
        case .senderDown, .senderLoggedOut, .senderBanned, .clientOutdated: try await test.setState(stage.sender, .ready)
        case .senderReplaced, .keyCreated:
            let alert = try #require(try await test.alerts(stage.account).first)
            _ = try await test.gateway.alerts.acknowledge(alert.id, account: stage.account, by: .channel(stage.channel), now: now)
        case .senderTimeLocked, .senderQuota: break
        case .failureShare: _ = try await test.tell(stage.account, count: 60, ["sent", "delivered"])
        case .undeliveredShare: try await test.tell(stage.account, late.ids, "delivered", number: 3)
        case .queueOld: _ = try await test.owner.execute("test.sent", "DELETE FROM outbox WHERE account_id = \(stage.account)")
        case .webhookFailing: try await endpoint(failures: 0, since: nil)
        case .channelDead:
            let link = try await test.gateway.alerts.startTelegramLink(account: stage.account, now: now)
            _ = try await test.gateway.alerts.takeTelegramLink(
                token: link.token, chat: TelegramChat(id: 700_000_009, kind: .private, title: "Siti"), now: now)
            _ = try await test.gateway.alerts.confirmTelegramLink(link.id, account: stage.account, now: now)
            // It is for the other one to hear of it.
            _ = try await test.owner.execute(
                "test.muted",
                "UPDATE alert_channels SET muted_until = \(now.addingTimeInterval(86_400)), digest_at = NULL, self_test_at = NULL WHERE channel_id <> \(stage.channel)"
            )
        case .cronLate: _ = try await test.gateway.retention.runHourly(now: now)
        case .databaseTrouble:
            let from = try #require(try await test.alerts(stage.account).first?.openedAt)
            _ = try await test.gateway.alerts.recordDatabaseTrouble(account: stage.account, from: from, to: now, code: "unavailable", now: now)
        }
    }

    private let late = Remembered()

    /// What `cause` made and `remedy` ends.
    private final class Remembered: Sendable {
        private let stored = TestBox<[UUID]>([])
        var ids: [UUID] { stored.value }
        func set(_ ids: [UUID]) { stored.set(ids) }
    }

    init(kind: AlertKind, test: TestGateway, stage: AlertStage) {
        self.kind = kind
        self.test = test
        self.stage = stage
    }

    private func health(_ columns: String, _ until: Date, _ code: String) async throws {
        _ = try await test.owner.execute(
            "test.health",
            """
            INSERT INTO sender_health (account_id, sender_id, \(unescaped: columns), changed_at)
            VALUES (\(stage.account), \(stage.sender), \(until), \(code), \(test.now))
            """)
    }

    private func endpoint(failures: Int, since: Date?) async throws {
        _ = try await test.owner.execute(
            "test.endpoint",
            """
            UPDATE webhook_endpoints SET state = 'enabled', failures = \(Int32(failures)), failing_since = \(since as Date?) WHERE account_id = \(stage.account)
            """)
    }
}

extension TestGateway {
    /// Many live senders at once, ready and held.
    func addSenders(_ count: Int, _ account: Account.ID) async throws {
        let sealer = try await gateway.accounts.sealer(for: account)
        let ids = (0..<count).map { _ in Sender.ID.make(at: now, random: SystemRandom()) }
        let labels = ids.enumerated().map { sealer.seal("CS \($0.offset + 2)", .senderLabel($0.element)) }
        _ = try await owner.execute(
            "test.senders",
            """
            INSERT INTO senders (account_id, sender_id, label_sealed, test, state, state_since, created_at, paired_at)
            SELECT \(account), r.id, r.label, false, 'ready', \(now), \(now), \(now) FROM unnest(\(ids), \(labels)) AS r (id, label)
            """)
        _ = try await owner.execute(
            "test.leases",
            """
            INSERT INTO sender_leases (account_id, sender_id, holder, epoch, expires_at)
            SELECT \(account), id, 'node-1', 1, 'infinity' FROM unnest(\(ids)) AS id
            """)
    }
}
