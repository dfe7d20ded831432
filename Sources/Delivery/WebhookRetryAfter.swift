import Foundation
import OutboundHTTP

extension OutboundResponse {
    /// What `Retry-After` asks for, in seconds from `now`, in either of its forms (RFC 9110 §10.2.3); nil: nothing that can be understood.
    func wait(from now: Date) -> TimeInterval? {
        if let retryAfter { return retryAfter / .seconds(1) }
        guard let text = header("retry-after"), let moment = Self.date(text) else { return nil }
        return max(0, moment.timeIntervalSince(now))
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7, the one form that may be sent).
    static func date(_ text: String) -> Date? {
        guard let match = text.wholeMatch(of: /[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT/),
            let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].firstIndex(of: String(match.2)),
            let day = Int(match.1), let year = Int(match.3), let hour = Int(match.4), let minute = Int(match.5), let second = Int(match.6)
        else { return nil }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let parts = DateComponents(year: year, month: month + 1, day: day, hour: hour, minute: minute, second: second)
        return parts.isValidDate(in: calendar) ? calendar.date(from: parts) : nil
    }
}
