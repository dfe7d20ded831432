package import Foundation

/// RFC 3339 in UTC with milliseconds, the one form of time in the API. Plain arithmetic: a formatter costs more than the rest of an answer.
package enum Timestamp {
    private static let earliest: TimeInterval = -62_167_219_200  // 0000-01-01T00:00:00Z
    private static let latest: TimeInterval = 253_402_300_799.999  // 9999-12-31T23:59:59.999Z

    /// `2026-11-21T08:09:10.123Z`, rounded to the millisecond. Times beyond the years 0 to 9999 are drawn as the nearest one.
    package static func text(_ date: Date) -> String {
        let milliseconds = Int((min(max(date.timeIntervalSince1970, earliest), latest) * 1000).rounded())
        let (days, rest) = floored(milliseconds, 86_400_000)
        let (year, month, day) = civil(days)
        var text: [UInt8] = []
        text.reserveCapacity(24)
        func add(_ value: Int, _ width: Int, _ end: Character) {
            var scale = width == 4 ? 1000 : width == 3 ? 100 : 10
            while scale > 0 {
                text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / scale % 10))
                scale /= 10
            }
            text.append(end.asciiValue ?? 0)
        }
        add(year, 4, "-")
        add(month, 2, "-")
        add(day, 2, "T")
        add(rest / 3_600_000, 2, ":")
        add(rest / 60_000 % 60, 2, ":")
        add(rest / 1000 % 60, 2, ".")
        add(rest % 1000, 3, "Z")
        return String(decoding: text, as: UTF8.self)
    }

    /// Any time of RFC 3339 §5.6, with `Z` or an offset, with or without a fraction; nil for anything else. A leap second is refused.
    package static func parse(_ text: String) -> Date? {
        var reader = Reader(bytes: Array(text.utf8))
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"), let day = reader.number(2),
            reader.take("Tt"), let hour = reader.number(2), reader.take(":"), let minute = reader.number(2), reader.take(":"),
            let second = reader.number(2), (1...12).contains(month), day >= 1, hour < 24, minute < 60, second < 60
        else { return nil }
        let days = Self.days(year, month, day)
        guard civil(days) == (year, month, day) else { return nil }
        var fraction = 0.0
        if reader.take(".") {
            guard let value = reader.fraction() else { return nil }
            fraction = value
        }
        var offset = 0
        if !reader.take("Zz") {
            let sign = reader.take("+") ? 1 : -1
            guard sign == 1 || reader.take("-"), let hours = reader.number(2), reader.take(":"), let minutes = reader.number(2), hours < 24,
                minutes < 60
            else { return nil }
            offset = sign * (hours * 3600 + minutes * 60)
        }
        guard reader.isAtEnd else { return nil }
        return Date(timeIntervalSince1970: Double(days * 86_400 + hour * 3600 + minute * 60 + second - offset) + fraction)
    }

    private struct Reader {
        let bytes: [UInt8]
        var index = 0

        var isAtEnd: Bool { index == bytes.count }

        mutating func digit() -> Int? {
            guard index < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index]) else { return nil }
            defer { index += 1 }
            return Int(bytes[index] - UInt8(ascii: "0"))
        }

        mutating func number(_ width: Int) -> Int? {
            var value = 0
            for _ in 0..<width {
                guard let digit = digit() else { return nil }
                value = value * 10 + digit
            }
            return value
        }

        /// Digits after the point; those beyond a nanosecond are read and not used.
        mutating func fraction() -> Double? {
            guard var value = digit().map({ Double($0) / 10 }) else { return nil }
            var scale = 0.01
            while let digit = digit() {
                if scale > 1e-10 { value += Double(digit) * scale }
                scale /= 10
            }
            return value
        }

        mutating func take(_ any: String) -> Bool {
            guard index < bytes.count, any.utf8.contains(bytes[index]) else { return false }
            index += 1
            return true
        }
    }

    // MARK: The calendar: eras of 400 years that begin on 1 March, so that the leap day is the last of its year

    private static let daysOfEra = 146_097
    /// Days from 0000-03-01 to 1970-01-01.
    private static let epoch = 719_468

    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let (era, dayOfEra) = floored(days + epoch, daysOfEra)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let (era, yearOfEra) = floored(month <= 2 ? year - 1 : year, 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * daysOfEra + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - epoch
    }

    private static func floored(_ value: Int, _ divisor: Int) -> (quotient: Int, remainder: Int) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
