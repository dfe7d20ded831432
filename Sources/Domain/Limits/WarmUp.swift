package import Foundation

/// How many first contacts a day a fresh link may make (design.md §13.9): 20 on its first day, rising by equal steps to all of them after
/// four weeks.
package enum WarmUp {
    package static let firstDay = 20
    package static let days = 28
    /// What it rises to when the sender has no limit of its own.
    package static let standard = 1000

    static let day: TimeInterval = 86_400

    /// `full`: first contacts a day once warm. `age`: whole days since the pairing.
    package static func allowance(full: Int, age: Int) -> Int {
        guard full > firstDay, age < days else { return full }
        return firstDay + (full - firstDay) * max(0, age) / days
    }

    /// Whole days of 24 hours since the pairing; a sender that was never paired is as fresh as can be.
    package static func age(pairedAt: Date?, at moment: Date) -> Int {
        guard let pairedAt else { return 0 }
        // Far beyond the curve nothing changes any more.
        return Int(min(100_000, max(0, (moment.timeIntervalSince(pairedAt) / day).rounded(.down))))
    }
}
