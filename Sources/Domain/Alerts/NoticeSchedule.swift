package import Foundation
package import Primitives

/// When a notice that failed is tried again. Pure: a table test covers all of it. Jitter only ever adds, up to a fifth.
package enum NoticeSchedule {
    /// After the first failure, the second, …; the last one repeats.
    package static let delays: [TimeInterval] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400]
    /// A try later than this after the first one is none any more: an idempotency key is remembered for 24 hours.
    package static let lifetime: TimeInterval = 23 * 3_600

    /// How long to wait after try number `tries` (1, 2, …) has failed.
    package static func delay(afterTry tries: Int, random: any RandomSource) -> TimeInterval {
        let delay = delays[min(max(tries, 1), delays.count) - 1]
        let draw = random.bytes(2).reduce(0.0) { $0 * 256 + Double($1) } / 65_536
        return delay * (1 + draw / 5)
    }
}
