/// A stretch of the day, by the recipient's clock, in which nothing is sent. It may reach over midnight.
package struct QuietHours: Sendable, Hashable {
    /// Longer ones could leave a country of many time zones without any hour in which it is nowhere quiet.
    package static let longest = 12 * 60

    /// Minutes after midnight: quiet from `from` (inclusive) to `to` (exclusive).
    package let from: Int
    package let to: Int

    /// nil: a minute outside 0..<1440, both the same, or longer than 12 hours.
    package init?(from: Int, to: Int) {
        guard (0..<1440).contains(from), (0..<1440).contains(to), from != to, Self.length(from, to) <= Self.longest else { return nil }
        self.from = from
        self.to = to
    }

    static func length(_ from: Int, _ to: Int) -> Int { (to - from + 1440) % 1440 }

    package func contains(minute: Int) -> Bool { from < to ? (from..<to).contains(minute) : minute >= from || minute < to }

    /// `HH:MM` as minutes after midnight.
    static func minute(_ text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == UInt8(ascii: ":"), [0, 1, 3, 4].allSatisfy({ bytes[$0].isASCIIDigit }) else { return nil }
        let digit = bytes.map { Int($0) - 48 }
        let hour = digit[0] * 10 + digit[1]
        let minute = digit[3] * 10 + digit[4]
        return hour < 24 && minute < 60 ? hour * 60 + minute : nil
    }

    static func text(_ minute: Int) -> String {
        let (hour, rest) = minute.quotientAndRemainder(dividingBy: 60)
        return (hour < 10 ? "0" : "") + "\(hour):" + (rest < 10 ? "0" : "") + "\(rest)"
    }
}
