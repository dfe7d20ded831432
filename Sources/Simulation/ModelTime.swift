package import Foundation

/// The model counts milliseconds from a moment of its own; here they become dates.
package enum ModelTime {
    /// The model's 0, in milliseconds since 1970.
    package static let epoch = 1_780_000_000_000

    package static func date(_ moment: Int) -> Date {
        moment < -1_000_000_000_000 ? .distantPast : Date(timeIntervalSince1970: Double(epoch + moment) / 1_000)
    }

    package static func moment(_ date: Date) -> Int {
        date == .distantPast ? Int.min : Int((date.timeIntervalSince1970 * 1_000).rounded()) - epoch
    }
}
