import Foundation

/// The clock of a channel's zone: quiet hours, and when its digest and its self-test are due. Pure.
struct ChannelHours: Sendable {
    private static let hour: TimeInterval = 3_600
    /// When a channel without a digest gets its self-test.
    static let selfTestHour = 9
    /// A digest that is later than this is left out: nobody ran.
    static let patience: TimeInterval = 3 * hour
    static let week: TimeInterval = 7 * 86_400

    private let calendar: Calendar

    init(zone: String) {
        var calendar = Calendar(identifier: .gregorian)
        // Checked when it was set; a name that a newer list no longer has counts as UTC.
        calendar.timeZone = TimeZone(identifier: zone) ?? .gmt
        self.calendar = calendar
    }

    /// Whether it is the name of a zone, and one that the column takes.
    static func isZone(_ name: String) -> Bool {
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ isNameByte($0) }) else { return false }
        return name == "UTC" || name.contains("/") && TimeZone(identifier: name) != nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "-"): true
        default: false
        }
    }

    func isQuiet(_ hours: QuietHours?, at now: Date) -> Bool {
        guard let hours else { return false }
        let parts = calendar.dateComponents([.hour, .minute], from: now)
        return hours.contains(minute: (parts.hour ?? 0) * 60 + (parts.minute ?? 0))
    }

    /// The next moment after `now` at which that hour begins there. A day that leaves the hour out has it an hour later.
    func next(hour: Int, after now: Date) -> Date {
        calendar.nextDate(
            after: now, matching: DateComponents(hour: hour, minute: 0, second: 0), matchingPolicy: .nextTime, repeatedTimePolicy: .first)
            ?? now.addingTimeInterval(24 * Self.hour)
    }

    /// The self-test after one at `now`: a week later, at the digest's hour or in the morning.
    func nextSelfTest(_ settings: ChannelSettings, after now: Date) -> Date? {
        guard settings.selfTest else { return nil }
        return next(hour: settings.digestHour ?? Self.selfTestHour, after: now.addingTimeInterval(Self.week - 12 * Self.hour))
    }

    func nextDigest(_ settings: ChannelSettings, after now: Date) -> Date? { settings.digestHour.map { next(hour: $0, after: now) } }
}
