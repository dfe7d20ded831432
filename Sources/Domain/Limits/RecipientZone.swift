package import Foundation

/// Where a recipient may be, as far as the calling code tells: one time zone, or several of which the strictest counts. A caller's clock is
/// never asked.
package struct RecipientZone: Sendable {
    /// Never empty.
    private let zones: [TimeZone]

    /// From a number's digits without plus. Codes that name no country (satellites, freephone), and unknown ones, are taken for UTC.
    package init(digits: String) { self = CallingCodes.zone(of: digits) }

    init(_ identifiers: [String]) {
        let zones = identifiers.compactMap { TimeZone(identifier: $0) }
        self.zones = zones.isEmpty ? [.gmt] : zones
    }

    package var identifiers: [String] { zones.map(\.identifier) }

    /// Whether it is a quiet hour in any of the zones.
    package func isQuiet(_ hours: QuietHours, at moment: Date) -> Bool { zones.contains { hours.contains(minute: Self.minute(in: $0, at: moment)) } }

    /// The first moment after `moment` at which it is quiet nowhere; nil: it is not quiet now.
    package func end(of hours: QuietHours, at moment: Date) -> Date? {
        var end = moment
        // Waiting for one zone's morning may run into another one's night; each is waited for once, twice when a clock is changed.
        for _ in 0..<(zones.count * 3 + 3) {
            guard let zone = zones.first(where: { hours.contains(minute: Self.minute(in: $0, at: end)) }) else { break }
            end = Self.morning(hours, in: zone, after: end)
        }
        return end > moment ? end : nil
    }

    /// The end of the quiet hours in which `moment` lies.
    private static func morning(_ hours: QuietHours, in zone: TimeZone, after moment: Date) -> Date {
        let local = moment.timeIntervalSince1970 + Double(zone.secondsFromGMT(for: moment))
        let midnight = (local / 86_400).rounded(.down) * 86_400
        var target = midnight + Double(hours.to) * 60
        if target <= local { target += 86_400 }
        let naive = moment.addingTimeInterval(target - local)
        // The clock may be changed before then: forward, and the morning comes earlier; back, and the night is still on at `naive`.
        let change = Double(zone.secondsFromGMT(for: naive) - zone.secondsFromGMT(for: moment))
        let corrected = naive.addingTimeInterval(-change)
        return corrected > moment && !hours.contains(minute: minute(in: zone, at: corrected)) ? corrected : max(naive, moment.addingTimeInterval(60))
    }

    private static func minute(in zone: TimeZone, at moment: Date) -> Int {
        let seconds = Int(moment.timeIntervalSince1970.rounded(.down)) + zone.secondsFromGMT(for: moment)
        return ((seconds % 86_400) + 86_400) % 86_400 / 60
    }
}
