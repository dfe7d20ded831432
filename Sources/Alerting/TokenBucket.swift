package import Foundation

/// So many at once, and then so many a second. A value: its owner says what time it is.
///
/// In any second at most `capacity + perSecond` are taken.
package struct TokenBucket: Hashable, Sendable {
    package let capacity: Double
    package let perSecond: Double
    private var level: Double
    private var moment: Date

    /// Full at first.
    package init(capacity: Double, perSecond: Double, now: Date) {
        self.capacity = max(1, capacity)
        self.perSecond = max(0.000_1, perSecond)
        level = self.capacity
        moment = now
    }

    /// When one can be taken; nil: now.
    package func next(_ now: Date) -> Date? {
        let level = level(at: now)
        // What a rounding error lacks is not waited for.
        return level >= 0.999_999 ? nil : now.addingTimeInterval((1 - level) / perSecond)
    }

    /// Takes one if there is one.
    package mutating func take(_ now: Date) {
        guard next(now) == nil else { return }
        level = max(0, level(at: now) - 1)
        moment = now
    }

    /// Whether nothing was taken for so long that a new bucket would be the same.
    package func isFull(_ now: Date) -> Bool { level(at: now) >= capacity }

    private func level(at now: Date) -> Double {
        // A clock that was set back brings nothing, and takes nothing.
        min(capacity, level + max(0, now.timeIntervalSince(moment)) * perSecond)
    }
}
