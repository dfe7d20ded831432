@testable import Domain
import Foundation
import Testing

@Suite struct LimitTests {
    private func date(_ text: String) -> Date { ISO8601DateFormatter().date(from: text) ?? .distantPast }

    private func limits(_ json: String, for subject: SendingLimits.Subject = .liveSender) throws -> SendingLimits {
        try SendingLimits(JSONDecoder().decode(SendingLimits.Shape.self, from: Data(json.utf8)), for: subject)
    }

    private func problems(_ json: String, for subject: SendingLimits.Subject = .liveSender) -> [String] {
        let error = #expect(throws: InvalidLimits.self) { try limits(json, for: subject) }
        return error?.problems.map { "\($0.pointer) \($0.code.rawValue)" } ?? []
    }

    private func verdict(
        _ limits: EffectiveLimits, _ usage: SendingUsage = .none, pairedAt: Date? = nil, isCold: Bool = false, priority: Priority = .normal,
        digits: String = "628123456789", at moment: Date
    ) -> LimitCheck.Verdict {
        LimitCheck.verdict(limits, usage, pairedAt: pairedAt, isCold: isCold, priority: priority, zone: RecipientZone(digits: digits), at: moment)
    }

    // MARK: Settings

    @Test func `defaults are strict for live senders and absent for test senders and pools`() throws {
        let live = try limits("{}").effective(for: .liveSender)
        #expect(live.warmUp && live.newRecipientsPerDay == 1000 && live.gap == 500 && live.gapJitter == 1000)
        #expect(live.coldGap == 3000 && live.coldGapJitter == 7000 && live.perDay == nil && live.dependsOnWarmth)
        #expect(try limits("{}").effective(for: .testSender).isUnlimited)
        #expect(try limits("{}").effective(for: .pool).isUnlimited)
        let off = try limits(
            #"{"warm_up": null, "new_recipients_per_day": null, "gap_ms": null, "gap_jitter_ms": 0, "cold_gap_ms": 0, "cold_gap_jitter_ms": null}"#)
        #expect(off.effective(for: .liveSender).isUnlimited)
    }

    @Test func `limits come back from storage as they were set`() throws {
        let json = #"""
            {"per_second": 1, "per_minute": 20, "per_hour": null, "per_day": 1000, "new_recipients_per_day": 50, "warm_up": false,
            "gap_ms": 100, "quiet_hours": {"from": "22:00", "to": "06:30"}}
            """#
        let first = try limits(json)
        let again = try SendingLimits(stored: first.stored(), for: .liveSender)
        #expect(again == first && again.perHour == .none && again.coldGap == .standard)
        #expect(again.quietHours == .value(try #require(QuietHours(from: 1320, to: 390))))
        #expect(try limits("{}").stored() == "{}")
    }

    @Test(arguments: [
        (#"{"per_second": 0}"#, ["/limits/per_second out_of_range"]),
        (#"{"per_day": -1}"#, ["/limits/per_day out_of_range"]),
        (#"{"per_day": 1.5}"#, ["/limits/per_day invalid_value"]),
        (#"{"per_day": "10"}"#, ["/limits/per_day invalid_value"]),
        (#"{"gap_ms": -1, "gap_jitter_ms": 3600001}"#, ["/limits/gap_ms out_of_range", "/limits/gap_jitter_ms out_of_range"]),
        (#"{"warm_up": 1}"#, ["/limits/warm_up invalid_value"]),
        (#"{"per_second": 2, "per_minute": 1}"#, ["/limits/per_second conflict"]),
        (#"{"per_second": 61, "per_hour": 60, "per_day": 59}"#, ["/limits/per_second conflict", "/limits/per_hour conflict"]),
        (#"{"per_second": 5, "per_minute": null, "per_day": 4}"#, ["/limits/per_second conflict"]),
        (#"{"new_recipients_per_day": 11, "per_day": 10}"#, ["/limits/new_recipients_per_day conflict"]),
        (#"{"quiet_hours": {"from": "22:00", "to": "22:00"}}"#, ["/limits/quiet_hours conflict"]),
        (#"{"quiet_hours": {"from": "20:00", "to": "08:01"}}"#, ["/limits/quiet_hours out_of_range"]),
        (#"{"quiet_hours": {"from": "24:00", "to": "7:00"}}"#, ["/limits/quiet_hours/from invalid_value", "/limits/quiet_hours/to invalid_value"]),
        (#"{"quiet_hours": {"from": "22:00", "till": 1}}"#, ["/limits/quiet_hours/till unknown_field", "/limits/quiet_hours/to required"]),
        (#"{"quiet_hours": "night"}"#, ["/limits/quiet_hours invalid_value"]),
        (#"{"per_week": 1}"#, ["/limits/per_week unknown_field"]),
    ]) func `limits that cannot be meant are refused where they stand`(json: String, expected: [String]) {
        #expect(problems(json) == expected)
    }

    @Test func `equal windows are no contradiction, and a pool has no warm-up`() throws {
        #expect(throws: Never.self) { try limits(#"{"per_second": 5, "per_minute": 5, "per_day": 5, "new_recipients_per_day": 5}"#) }
        #expect(throws: Never.self) { try limits(#"{"quiet_hours": {"from": "20:00", "to": "08:00"}}"#) }
        #expect(problems(#"{"warm_up": true}"#, for: .pool) == ["/limits/warm_up unsupported"])
        #expect(throws: Never.self) { try limits(#"{"warm_up": false}"#, for: .pool) }
    }

    // MARK: Windows

    @Test func `each window lets through exactly its number and opens at its end`() {
        let at = date("2026-11-21T23:59:59Z")
        let ends: [(LimitWindow, EffectiveLimits, LimitCode, Date)] = [
            (.second, EffectiveLimits(perSecond: 3), .perSecond, at.addingTimeInterval(1)),
            (.minute, EffectiveLimits(perMinute: 3), .perMinute, at.addingTimeInterval(1)),
            (.hour, EffectiveLimits(perHour: 3), .perHour, at.addingTimeInterval(1)),
            (.day, EffectiveLimits(perDay: 3), .perDay, at.addingTimeInterval(1)),
        ]
        for (window, limits, code, end) in ends {
            var usage = SendingUsage.none
            usage.add(2, at: window.start(at: at))
            #expect(verdict(limits, usage, at: at) == LimitCheck.Verdict(allowedAt: at, limitedBy: nil))
            #expect(LimitCheck.budget(limits, usage, pairedAt: nil, at: at).messages == 1)
            usage.add(at: at)
            #expect(verdict(limits, usage, at: at) == LimitCheck.Verdict(allowedAt: end, limitedBy: code))
            #expect(LimitCheck.budget(limits, usage, pairedAt: nil, at: at).messages == 0)
            #expect(verdict(limits, usage, at: end).limitedBy == nil)
            usage.add(at: end)
            #expect(usage.used(in: window, at: end) == 1)
        }
    }

    @Test func `windows are counted apart, and the one that ends last is named`() {
        let at = date("2026-11-21T10:15:30Z")
        var usage = SendingUsage.none
        usage.add(5, at: at)
        let both = EffectiveLimits(perSecond: 5, perMinute: 5, perHour: 50)
        #expect(verdict(both, usage, at: at) == LimitCheck.Verdict(allowedAt: date("2026-11-21T10:16:00Z"), limitedBy: .perMinute))
        #expect(LimitCheck.budget(both, usage, pairedAt: nil, at: at).opensAt == date("2026-11-21T10:16:00Z"))
        #expect(usage.used(in: .second, at: at.addingTimeInterval(1)) == 0 && usage.used(in: .minute, at: at.addingTimeInterval(1)) == 5)
    }

    @Test func `a window that another node's clock began later still counts`() {
        let at = date("2026-11-21T10:15:30Z")
        var usage = SendingUsage.none
        usage.add(3, at: at.addingTimeInterval(2))
        #expect(usage.used(in: .second, at: at) == 3)
        usage.add(at: at)
        #expect(usage.used(in: .second, at: at) == 4)
    }

    @Test func `the gap holds the dispatcher, one message at a time, and no route`() {
        let at = date("2026-11-21T10:15:30Z")
        var usage = SendingUsage.none
        usage.nextAt = at.addingTimeInterval(1.5)
        let paced = EffectiveLimits(gap: 1000)
        #expect(verdict(paced, usage, at: at) == LimitCheck.Verdict(allowedAt: usage.nextAt, limitedBy: .gap))
        let unpaced = LimitCheck.verdict(paced, usage, pairedAt: nil, isCold: false, priority: .normal, zone: nil, pacing: false, at: at)
        #expect(unpaced.limitedBy == nil)
        let budget = LimitCheck.budget(paced, usage, pairedAt: nil, at: at)
        #expect(budget.messages == 0 && budget.opensAt == usage.nextAt && budget.isPaced)
        #expect(LimitCheck.budget(paced, usage, pairedAt: nil, at: usage.nextAt).messages == 1)
        let live = SendingLimits.standard.effective(for: .liveSender)
        #expect(live.pause(isCold: false, chance: 0) == 500 && live.pause(isCold: false, chance: 0.999) == 1499)
        #expect(live.pause(isCold: true, chance: 0) == 3000 && live.pause(isCold: true, chance: 0.5) == 6500)
    }

    // MARK: First contacts

    @Test func `a fresh link begins with 20 first contacts and has all of them after four weeks`() {
        #expect(WarmUp.allowance(full: 1000, age: 0) == 20 && WarmUp.allowance(full: 1000, age: 14) == 510)
        #expect(WarmUp.allowance(full: 1000, age: 27) == 965 && WarmUp.allowance(full: 1000, age: 28) == 1000)
        #expect(WarmUp.allowance(full: 10, age: 0) == 10)
        for age in 0..<40 { #expect(WarmUp.allowance(full: 300, age: age) <= WarmUp.allowance(full: 300, age: age + 1)) }
    }

    @Test func `first contacts are limited, known recipients are not`() {
        let at = date("2026-11-21T10:00:00Z")
        let live = SendingLimits.standard.effective(for: .liveSender)
        var usage = SendingUsage.none
        usage.add(20, cold: 20, at: at)
        let fresh = at.addingTimeInterval(-3600)
        #expect(verdict(live, usage, pairedAt: fresh, at: at).limitedBy == nil)
        // The allowance rises a day after the pairing, but midnight is earlier.
        let held = verdict(live, usage, pairedAt: fresh, isCold: true, at: at)
        #expect(held == LimitCheck.Verdict(allowedAt: date("2026-11-22T00:00:00Z"), limitedBy: .warmUp))
        // Paired 23 hours ago: in an hour the second day's allowance (55) begins.
        let rising = verdict(live, usage, pairedAt: at.addingTimeInterval(-23 * 3600), isCold: true, at: at)
        #expect(rising == LimitCheck.Verdict(allowedAt: at.addingTimeInterval(3600), limitedBy: .warmUp))
        #expect(verdict(live, usage, pairedAt: at.addingTimeInterval(-28 * 86_400), isCold: true, at: at).limitedBy == nil)
        usage.add(980, cold: 980, at: at)
        #expect(verdict(live, usage, pairedAt: at.addingTimeInterval(-28 * 86_400), isCold: true, at: at).limitedBy == .newRecipientsPerDay)
        #expect(verdict(live, .none, pairedAt: nil, isCold: true, at: at).limitedBy == nil)
        let budget = LimitCheck.budget(EffectiveLimits(newRecipientsPerDay: 5), .none, pairedAt: nil, at: at)
        #expect(budget.messages == .max && budget.firstContacts == 5 && !budget.isPaced)
        #expect(usage.newRecipients(at: date("2026-11-22T00:00:00Z")) == 0)
    }

    // MARK: Quiet hours

    @Test func `quiet hours go by the recipient's clock, over midnight, and not for high priority`() throws {
        let night = EffectiveLimits(quietHours: try #require(QuietHours(from: 22 * 60, to: 7 * 60)))
        // Germany, winter: UTC+1.
        let last = date("2026-11-21T20:59:59Z")
        let first = date("2026-11-21T21:00:00Z")
        let morning = date("2026-11-22T06:00:00Z")
        #expect(verdict(night, digits: "4915112345678", at: last).limitedBy == nil)
        #expect(verdict(night, digits: "4915112345678", at: first) == LimitCheck.Verdict(allowedAt: morning, limitedBy: .quietHours))
        #expect(verdict(night, digits: "4915112345678", at: morning.addingTimeInterval(-1)).allowedAt == morning)
        #expect(verdict(night, digits: "4915112345678", at: morning).limitedBy == nil)
        #expect(verdict(night, priority: .high, digits: "4915112345678", at: first).limitedBy == nil)
        // Nepal: UTC+5:45.
        #expect(verdict(night, digits: "9779812345678", at: date("2026-11-21T16:15:00Z")).allowedAt == date("2026-11-22T01:15:00Z"))
    }

    @Test func `a country with several zones is quiet while it is in any of them`() throws {
        let hours = try #require(QuietHours(from: 22 * 60, to: 7 * 60))
        let indonesia = RecipientZone(digits: "628123456789")
        // Jayapura (UTC+9) goes to bed at 13:00 UTC, Jakarta (UTC+7) gets up at 00:00 UTC.
        #expect(!indonesia.isQuiet(hours, at: date("2026-11-21T12:59:59Z")) && indonesia.isQuiet(hours, at: date("2026-11-21T13:00:00Z")))
        #expect(indonesia.end(of: hours, at: date("2026-11-21T13:00:00Z")) == date("2026-11-22T00:00:00Z"))
        #expect(indonesia.end(of: hours, at: date("2026-11-22T00:00:00Z")) == nil)
        // Canada and the United States: from Newfoundland's evening to Hawaii's morning.
        let america = RecipientZone(digits: "12125550100")
        #expect(america.end(of: hours, at: date("2026-01-10T02:00:00Z")) == date("2026-01-10T17:00:00Z"))
        // An island of the same plan has its own clock.
        #expect(RecipientZone(digits: "18765550100").identifiers == ["America/Jamaica"])
    }

    @Test func `the longest quiet hours leave every country an hour`() throws {
        let longest = try #require(QuietHours(from: 20 * 60, to: 8 * 60))
        for code in CallingCodes.all {
            let zone = RecipientZone(digits: "\(code)5550100000")
            let at = date("2026-03-01T00:00:00Z")
            let end = zone.end(of: longest, at: at) ?? at
            #expect(end.timeIntervalSince(at) <= 86_400 && !zone.isQuiet(longest, at: end), "+\(code)")
        }
    }

    @Test func `the morning is right on the days when clocks are changed`() throws {
        let hours = try #require(QuietHours(from: 22 * 60, to: 7 * 60))
        let germany = RecipientZone(digits: "4915112345678")
        // Forward in the night to 2026-03-29: the night is an hour shorter. Back in the night to 2026-10-25: an hour longer.
        #expect(germany.end(of: hours, at: date("2026-03-28T21:30:00Z")) == date("2026-03-29T05:00:00Z"))
        #expect(germany.end(of: hours, at: date("2026-10-24T20:30:00Z")) == date("2026-10-25T06:00:00Z"))
        // Quiet hours that end within the hour that is skipped, or comes twice.
        let short = try #require(QuietHours(from: 60, to: 150))
        let skipped = try #require(germany.end(of: short, at: date("2026-03-29T00:30:00Z")))
        #expect(!germany.isQuiet(short, at: skipped) && skipped <= date("2026-03-29T01:30:00Z"))
        let twice = try #require(germany.end(of: short, at: date("2026-10-25T00:15:00Z")))
        #expect(!germany.isQuiet(short, at: twice) && twice <= date("2026-10-25T01:30:00Z"))
    }

    @Test func `every calling code names time zones that exist`() {
        for line in CallingCodes.table.split(separator: "\n") {
            for name in line.split(separator: " ").dropFirst() { #expect(TimeZone(identifier: String(name)) != nil, "\(name)") }
        }
        // One of each region, and codes that name no country.
        let samples = [
            ("49", "Europe/Berlin"), ("91", "Asia/Calcutta"), ("254", "Africa/Nairobi"), ("77", "Asia/Almaty"), ("8835100", "GMT"), ("999", "GMT"),
        ]
        for (digits, zone) in samples { #expect(RecipientZone(digits: digits + "5550100").identifiers.first == zone) }
        #expect(CallingCodes.all.count > 230)
    }

    @Test func `several limits at once: the verdict is a moment at which all of them agree`() throws {
        var usage = SendingUsage.none
        let at = date("2026-11-21T20:59:30Z")
        usage.add(10, at: at)
        let limits = EffectiveLimits(perMinute: 10, quietHours: try #require(QuietHours(from: 22 * 60, to: 7 * 60)))
        // The minute ends when the night begins; the night ends at six UTC.
        #expect(
            verdict(limits, usage, digits: "4915112345678", at: at)
                == LimitCheck.Verdict(allowedAt: date("2026-11-22T06:00:00Z"), limitedBy: .quietHours))
    }
}
