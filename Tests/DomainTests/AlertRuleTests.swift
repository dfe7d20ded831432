@testable import Domain
import Foundation
import Primitives
import TestSupport
import Testing

/// The rules without a database: conditions, who is told what, settings.
@Suite struct AlertRuleTests {
    private static let account = Account.ID(UUID(bytes: [1]))
    private static let start = Date(timeIntervalSince1970: 1_780_000_000)

    // MARK: Conditions

    @Test func `whatever a thing does, its openings and endings alternate, and each comes only after its time`() {
        for seed in 0..<2_000 {
            var random = SeededNumbers(UInt64(seed))
            let kind = AlertKind.allCases.filter { !$0.isEvent }[random.next(12)]
            var rule = AlertRule(kind)
            rule.thresholds.openAfter = TimeInterval(random.next(4) * 60)
            rule.thresholds.clearAfter = TimeInterval(random.next(4) * 60)
            var condition: AlertCondition?
            var isOpen = false
            var badSince: Date?
            var goodSince: Date?
            var now = Self.start
            for _ in 0..<200 {
                now += TimeInterval(random.next(90))
                let draw = random.next(10)
                let standing: AlertFact.Standing = draw < 4 ? .present(since: nil) : draw < 8 ? .absent : draw < 9 ? .held : .gone
                let fact = AlertFact(kind: kind, account: Self.account, subject: UUID(bytes: [7]), standing: standing)
                // What is true by the words of the rule, kept apart from it.
                switch standing {
                case .present: badSince = badSince ?? now
                case .held: break
                case .absent, .gone: if !isOpen { badSince = nil }
                }
                if isOpen {
                    if standing == .absent { goodSince = goodSince ?? now } else if standing != .gone { goodSince = nil }
                }
                // A restart: only what a row holds is left, and asking twice changes nothing.
                let stored = condition
                let (after, change) = AlertConditionRules.step(stored, fact, rule: rule, isAcknowledged: false, now: now)
                #expect(AlertConditionRules.step(stored, fact, rule: rule, isAcknowledged: false, now: now).condition == after)
                switch change {
                case .opened:
                    #expect(!isOpen && now.timeIntervalSince(badSince ?? now) >= rule.thresholds.openAfter)
                    isOpen = true
                    goodSince = nil
                case .ended(let ending):
                    #expect(isOpen && (ending == .recovered || ending == .gone))
                    if ending == .recovered { #expect(now.timeIntervalSince(goodSince ?? .distantFuture) >= rule.thresholds.clearAfter) }
                    if ending == .gone { #expect(standing == .gone) }
                    isOpen = false
                    badSince = nil
                    goodSince = nil
                case nil:
                    // What is due is not left out either.
                    if case .present = standing, !isOpen { #expect(now.timeIntervalSince(badSince ?? now) < rule.thresholds.openAfter) }
                    if standing == .absent, isOpen { #expect(now.timeIntervalSince(goodSince ?? now) < rule.thresholds.clearAfter) }
                }
                condition = after
                condition?.alert = isOpen ? Alert.ID(UUID(bytes: [9])) : nil
                #expect((condition?.phase == .open) == isOpen)
            }
        }
    }

    @Test func `what has happened is told once per time that it happened, and is over when acknowledged or a day old`() {
        let rule = AlertRule(.keyCreated)
        func fact(_ standing: AlertFact.Standing, at occurred: Date) -> AlertFact {
            AlertFact(kind: .keyCreated, account: Self.account, subject: UUID(bytes: [7]), standing: standing, occurredAt: occurred)
        }
        let here = fact(.present(since: nil), at: Self.start)
        let opened = AlertConditionRules.step(nil, here, rule: rule, isAcknowledged: false, now: Self.start)
        #expect(opened.change == .opened)
        #expect(AlertConditionRules.step(opened.condition, here, rule: rule, isAcknowledged: false, now: Self.start + 86_399).change == nil)
        let expired = AlertConditionRules.step(opened.condition, here, rule: rule, isAcknowledged: false, now: Self.start + 86_400)
        #expect(expired.change == .ended(.expired) && expired.condition?.phase == .over)
        #expect(AlertConditionRules.step(expired.condition, here, rule: rule, isAcknowledged: false, now: Self.start + 86_500).change == nil)
        let acknowledged = AlertConditionRules.step(opened.condition, here, rule: rule, isAcknowledged: true, now: Self.start + 5)
        #expect(acknowledged.change == .ended(.acknowledged))
        let again = fact(.present(since: nil), at: Self.start + 60)
        #expect(AlertConditionRules.step(acknowledged.condition, again, rule: rule, isAcknowledged: true, now: Self.start + 70).change == .opened)
        #expect(
            AlertConditionRules.step(acknowledged.condition, fact(.gone, at: Self.start), rule: rule, isAcknowledged: true, now: Self.start).condition
                == nil)

        var off = rule
        off.isEnabled = false
        let silent = AlertConditionRules.step(nil, here, rule: off, isAcknowledged: false, now: Self.start)
        #expect(silent.change == nil && silent.condition?.phase == .over)
        #expect(AlertConditionRules.step(silent.condition, here, rule: rule, isAcknowledged: false, now: Self.start + 60).change == nil)
    }

    // MARK: Who is told what

    @Test func `everybody is told once of every alert and once of its end, however often it is asked, and never sooner than five minutes after`() {
        for seed in 0..<600 {
            var random = SeededNumbers(UInt64(seed))
            var channels = (0..<3).map { place in
                PlannedChannel(
                    id: AlertChannel.ID(UUID(bytes: [UInt8(place)])), kind: place == 2 ? .email : .telegram, state: .active,
                    settings: ChannelSettings(minimumSeverity: AlertSeverity.allCases[random.next(3)]), mutedUntil: nil)
            }
            var alerts: [BookedAlert] = []
            var tellings: [Telling.Key: Telling] = [:]
            var fired: [Telling.Key: Int] = [:]
            var cleared: [Telling.Key: Int] = [:]
            var moments: [AlertChannel.ID: [(Date, Bool)]] = [:]
            var now = Self.start
            for round in 0..<80 {
                now += TimeInterval(10 + random.next(50))
                if round < 40, random.next(3) == 0 {
                    let kind = AlertKind.allCases.filter { !$0.isGatewayWide && !$0.isEvent }[random.next(10)]
                    alerts.append(Self.alert(UInt8(alerts.count), kind, at: now))
                }
                for place in alerts.indices where alerts[place].clearedAt == nil && random.next(12) == 0 {
                    alerts[place].clearedAt = now
                    alerts[place].ending = .recovered
                    alerts[place].openCount = 0
                }
                let plan = NoticePlan(alerts: alerts.filter { !$0.isDone }, channels: channels, tellings: tellings, now: now)
                let twice = NoticePlan(alerts: plan.alerts.filter { !$0.isDone }, channels: plan.channels, tellings: plan.tellings, now: now)
                #expect(twice.notices.isEmpty)
                for notice in plan.notices {
                    for alert in notice.alerts {
                        let key = Telling.Key(alert: alert, channel: notice.channel)
                        if notice.occasion == .cleared {
                            cleared[key, default: 0] += 1
                        } else if notice.occasion == .fired {
                            fired[key, default: 0] += 1
                        }
                    }
                    guard notice.occasion == .fired else { continue }
                    let hasCritical = alerts.contains { notice.alerts.contains($0.id) && $0.severity == .critical }
                    if let last = moments[notice.channel]?.last?.0 { #expect(now.timeIntervalSince(last) >= 300 || hasCritical, "seed \(seed)") }
                    moments[notice.channel, default: []].append((now, hasCritical))
                }
                channels = plan.channels
                tellings = plan.tellings
                for alert in plan.alerts {
                    if let place = alerts.firstIndex(where: { $0.id == alert.id }) { alerts[place] = alert }
                }
            }
            // All is told in the end.
            for place in alerts.indices where alerts[place].clearedAt == nil {
                alerts[place].clearedAt = now
                alerts[place].ending = .recovered
                alerts[place].openCount = 0
            }
            for _ in 0..<3 {
                now += 301
                let plan = NoticePlan(alerts: alerts.filter { !$0.isDone }, channels: channels, tellings: tellings, now: now)
                for notice in plan.notices {
                    for alert in notice.alerts { cleared[Telling.Key(alert: alert, channel: notice.channel), default: 0] += 1 }
                }
                channels = plan.channels
                tellings = plan.tellings
                for alert in plan.alerts {
                    if let place = alerts.firstIndex(where: { $0.id == alert.id }) { alerts[place] = alert }
                }
            }
            #expect(fired.values.allSatisfy { $0 == 1 } && cleared.values.allSatisfy { $0 == 1 }, "seed \(seed)")
            // Those who were told, by whatever notice, and nobody else.
            #expect(Set(cleared.keys) == Set(tellings.keys), "seed \(seed)")
            #expect(alerts.allSatisfy { $0.isDone }, "seed \(seed)")
        }
    }

    @Test func `a break-in is for the first of a critical kind only`() {
        let channel = PlannedChannel(
            id: AlertChannel.ID(UUID(bytes: [1])), kind: .telegram, state: .active, settings: ChannelSettings(), mutedUntil: nil)
        let down = Self.alert(1, .senderDown, at: Self.start)
        let first = NoticePlan(alerts: [down], channels: [channel], tellings: [:], now: Self.start)
        #expect(first.notices.map(\.occasion) == [.fired])
        func next(_ kinds: [AlertKind], _ plan: NoticePlan, after seconds: TimeInterval) -> NoticePlan {
            let now = Self.start + seconds
            let alerts = kinds.enumerated().map { Self.alert(UInt8(truncatingIfNeeded: 10 + Int(seconds) + $0.offset), $0.element, at: now) }
            return NoticePlan(alerts: plan.alerts + alerts, channels: plan.channels, tellings: plan.tellings, now: now)
        }
        #expect(next([.webhookFailing], first, after: 10).notices.isEmpty)
        #expect(next([.senderDown], first, after: 10).notices.isEmpty)
        let banned = next([.senderBanned, .webhookFailing], first, after: 20)
        #expect(banned.notices.map { Set($0.content.items.map(\.kind)) } == [[.senderBanned, .webhookFailing]])
        #expect(next([.senderBanned], banned, after: 30).notices.isEmpty)
        #expect(next([.senderBanned], banned, after: 319).notices.isEmpty)
        #expect(next([.senderBanned], banned, after: 320).notices.count == 1)
    }

    @Test func `escalation goes to e-mail after its time, at once when the chats are dead, and once`() {
        func channel(_ number: UInt8, _ kind: AlertChannel.Kind, _ state: AlertChannel.State = .active, only: Bool = false) -> PlannedChannel {
            PlannedChannel(
                id: AlertChannel.ID(UUID(bytes: [number])), kind: kind, state: state,
                settings: ChannelSettings(minimumSeverity: .critical, isEscalationOnly: only), mutedUntil: nil)
        }
        let alert = Self.alert(1, .senderDown, at: Self.start)
        let chat = channel(1, .telegram)
        let mail = channel(2, .email, only: true)
        let first = NoticePlan(alerts: [alert], channels: [chat, mail], tellings: [:], now: Self.start)
        #expect(first.notices.map(\.channel) == [chat.id])
        func later(_ alerts: [BookedAlert], _ seconds: TimeInterval) -> NoticePlan {
            NoticePlan(alerts: alerts, channels: first.channels, tellings: first.tellings, now: Self.start + seconds)
        }
        #expect(later(first.alerts, 899).notices.isEmpty)
        let escalated = later(first.alerts, 900)
        #expect(escalated.notices.map(\.occasion) == [.escalated] && escalated.notices.map(\.channel) == [mail.id])
        #expect(later(escalated.alerts, 5_000).notices.isEmpty)
        #expect(later([Self.alert(1, .senderDown, at: Self.start, acknowledgedAt: Self.start + 60)], 900).notices.isEmpty)
        #expect(later([Self.alert(1, .senderDown, at: Self.start, silencedUntil: Self.start + 3_600)], 900).notices.isEmpty)
        #expect(later([Self.alert(1, .senderDown, at: Self.start, escalateAfter: nil)], 90_000).notices.isEmpty)

        let dead = NoticePlan(alerts: [alert], channels: [channel(1, .telegram, .blocked), mail], tellings: [:], now: Self.start)
        #expect(dead.notices.map(\.occasion) == [.escalated])
        // A mail that is told everything anyway is not told twice of the same.
        let plain = channel(3, .email)
        let both = NoticePlan(alerts: [alert], channels: [channel(1, .telegram, .blocked), plain], tellings: [:], now: Self.start)
        #expect(both.notices.map(\.occasion) == [.fired])
        let mailOnly = NoticePlan(alerts: [alert], channels: [plain], tellings: [:], now: Self.start + 5_000)
        #expect(mailOnly.notices.map(\.occasion) == [.fired])
    }

    @Test func `quiet hours hold back what is not critical, and tell it in one when they end, if it is still true`() {
        let settings = ChannelSettings(quietHours: QuietHours(from: 22 * 60, to: 6 * 60), zone: "Asia/Jakarta")
        let channel = PlannedChannel(id: AlertChannel.ID(UUID(bytes: [1])), kind: .telegram, state: .active, settings: settings, mutedUntil: nil)
        // 2026-05-29 03:26:40 in Jakarta.
        let night = Self.start
        let old = Self.alert(1, .queueOld, at: night)
        var over = Self.alert(2, .webhookFailing, at: night)
        let critical = Self.alert(3, .senderDown, at: night)
        let first = NoticePlan(alerts: [old, over, critical], channels: [channel], tellings: [:], now: night)
        #expect(first.notices.map(\.alerts) == [[critical.id]])
        over.clearedAt = night + 60
        over.ending = .recovered
        over.openCount = 0
        let second = NoticePlan(alerts: [old, over, critical], channels: first.channels, tellings: first.tellings, now: night + 60)
        #expect(second.notices.isEmpty && second.alerts.first { $0.id == over.id }?.isDone == true)
        let morning = NoticePlan(alerts: [old, critical], channels: second.channels, tellings: second.tellings, now: night + 3 * 3_600)
        #expect(morning.notices.map(\.alerts) == [[old.id]])
    }

    private static func alert(
        _ number: UInt8, _ kind: AlertKind, at opened: Date, acknowledgedAt: Date? = nil, silencedUntil: Date? = nil,
        escalateAfter: TimeInterval? = 900
    ) -> BookedAlert {
        BookedAlert(
            id: Alert.ID(UUID(bytes: [number, 1])), account: account, kind: kind, severity: kind.severity, subjects: [UUID(bytes: [number])],
            subjectCount: 1, openCount: 1, figures: AlertFigures(), openedAt: opened, acknowledgedAt: acknowledgedAt, silencedUntil: silencedUntil,
            escalateAfter: escalateAfter)
    }

    // MARK: Times

    @Test func `digests come at their hour of the zone, self-tests a week apart, also where clocks change`() {
        let berlin = ChannelHours(zone: "Europe/Berlin")
        // 2026-03-28 12:00 UTC: the night after, clocks go from 02:00 to 03:00.
        let saturday = Date(timeIntervalSince1970: 1_774_699_200)
        #expect(berlin.next(hour: 8, after: saturday) == Date(timeIntervalSince1970: 1_774_764_000))
        #expect(berlin.next(hour: 2, after: saturday) == Date(timeIntervalSince1970: 1_774_746_000))
        let jakarta = ChannelHours(zone: "Asia/Jakarta")
        let digest = jakarta.next(hour: 8, after: Self.start)
        #expect(digest == Date(timeIntervalSince1970: 1_780_016_400))
        #expect(jakarta.next(hour: 8, after: digest) == digest + 86_400)
        let test = jakarta.nextSelfTest(ChannelSettings(digestHour: nil), after: Self.start)
        #expect(test.map { (6.5...7.5).contains($0.timeIntervalSince(Self.start) / 86_400) } == true)
        #expect(jakarta.nextSelfTest(ChannelSettings(selfTest: false), after: Self.start) == nil)
    }

    @Test func `a notice is tried with growing waits for 23 hours`() {
        var total = 0.0
        var tries = 0
        while total <= NoticeSchedule.lifetime {
            tries += 1
            let delay = NoticeSchedule.delay(afterTry: tries, random: SystemRandom())
            let base = NoticeSchedule.delays[min(tries, NoticeSchedule.delays.count) - 1]
            #expect((base...(base * 1.2)).contains(delay))
            total += delay
        }
        #expect((9...13).contains(tries))
    }

    // MARK: Settings

    @Test func `thresholds that cannot be meant are refused, all at once, each with its code`() throws {
        let fields = AlertRuleFields(
            severity: "fatal", openAfter: -1, clearAfter: 86_401, share: 1.5, minimum: 0, age: 600, escalateAfter: .after(5))
        let problems = #expect(throws: InvalidAlertRule.self) { try fields.applied(to: AlertRule(.failureShare)) }?.problems
        #expect(
            problems?.map { "\($0.pointer) \($0.code.rawValue)" } == [
                "/severity invalid_value", "/open_after out_of_range", "/clear_after out_of_range", "/share out_of_range", "/minimum out_of_range",
                "/age unsupported", "/escalate_after out_of_range",
            ])
        for share in [0, -0.5, Double.nan, .infinity, 0.001] {
            #expect(throws: InvalidAlertRule.self) { try AlertRuleFields(share: share).applied(to: AlertRule(.failureShare)) }
        }
        #expect(throws: InvalidAlertRule.self) { try AlertRuleFields(openAfter: 60).applied(to: AlertRule(.keyCreated)) }
        let rule = try AlertRuleFields(isEnabled: false, severity: "info", share: 0.5, minimum: 3, escalateAfter: .never)
            .applied(to: AlertRule(.failureShare))
        #expect(
            !rule.isEnabled && rule.severity == .info && rule.thresholds.share == 0.5 && rule.thresholds.minimum == 3 && rule.escalateAfter == nil)
        #expect(!rule.isDefault && AlertRule(.failureShare).isDefault)
    }

    @Test func `channel settings that cannot be meant are refused, all at once`() {
        let fields = ChannelFields(
            language: "de", minimumSeverity: "loud", kinds: .to(["sender_down", "sender_up"]), quietHours: .to((from: "22:00", to: "11:00")),
            zone: "Mars/Base", digestHour: .to(24), isEscalationOnly: true)
        let problems = #expect(throws: InvalidChannel.self) { try fields.applied(to: ChannelSettings(), of: .telegram) }?.problems
        #expect(
            problems?.map(\.pointer) == [
                "/language", "/minimum_severity", "/kinds/1", "/quiet_hours", "/time_zone", "/digest_hour", "/escalation_only",
            ])
        for zone in ["", "UTC+7", "Jakarta", "Asia/Jakarta'--", String(repeating: "A", count: 70)] { #expect(!ChannelHours.isZone(zone), "\(zone)") }
        for zone in ["UTC", "Asia/Jakarta", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] { #expect(ChannelHours.isZone(zone), "\(zone)") }
    }

    @Test(arguments: [
        "budi@toko.co.id", "b@x.io", "first.last+alerts@sub.example.com", "O'Neil@Example.COM",
    ])
    func `addresses that mail goes to are taken`(text: String) { #expect(EmailAddress(text) != nil) }

    @Test(arguments: [
        "", "budi", "budi@", "@toko.id", "budi@toko", "budi @toko.id", "budi@to ko.id", "budi@@toko.id", "budi@toko..id", ".budi@toko.id",
        "budi.@toko.id", "budi@-toko.id", "budi@toko.1", "budi@toko.id\nBcc: x@y.id", "\"a b\"@toko.id", "büdi@toko.id", "budi@toko.id,x@y.id",
    ])
    func `addresses that are none are not`(text: String) { #expect(EmailAddress(text) == nil) }

    @Test func `what could name a person prints as nothing`() throws {
        let address = try #require(EmailAddress("budi@toko.co.id"))
        let chat = TelegramChat(id: 700_000_001, kind: .private, title: "Budi\u{202E}\n")
        #expect("\(address) \(chat)" == "EmailAddress(redacted) TelegramChat(redacted)" && chat.title == "Budi")
    }
}

/// Small seeded numbers.
private struct SeededNumbers {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    /// 0..<bound
    mutating func next(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(max(1, bound)))
    }
}
