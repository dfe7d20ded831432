package import Foundation
package import Primitives

/// When a delivery that failed is tried again, and when its endpoint is left alone for a while. Pure: a table test covers all of it.
///
/// Ten tries over 75 hours and more, as Standard Webhooks proposes; jitter only ever adds, up to a fifth.
package enum WebhookSchedule {
    /// After the first failure, the second, …
    package static let delays: [TimeInterval] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    /// A verification is not worth three days.
    package static let verificationDelays: [TimeInterval] = [5, 300, 1_800, 7_200]
    /// The longest wait that a `Retry-After` is believed.
    package static let longestWait: TimeInterval = 86_400
    /// Failures in a row, over all deliveries of an endpoint, after which it gets one request at a time and pauses between them.
    package static let breakerFailures = 5
    /// The first pause; each next one is twice as long, up to the longest.
    package static let firstPause: TimeInterval = 30
    package static let longestPause: TimeInterval = 900
    /// An endpoint that did nothing but fail for so long is disabled.
    package static let disabledAfter: TimeInterval = 120 * 3_600
    /// The account is told of it after these.
    package static let noticesAfter: [TimeInterval] = [3_600, 86_400]

    /// How long to wait after try number `tries` (1, 2, …) has failed; nil: that was the last one.
    package static func delay(afterTry tries: Int, isVerification: Bool = false, asked: TimeInterval? = nil, random: any RandomSource)
        -> TimeInterval?
    {
        let delays = isVerification ? verificationDelays : delays
        guard tries >= 1, tries <= delays.count else { return nil }
        let draw = random.bytes(2).reduce(0.0) { $0 * 256 + Double($1) } / 65_536
        return max(delays[tries - 1] * (1 + draw / 5), min(asked ?? 0, longestWait))
    }

    /// How long an endpoint with that many failures in a row is left alone; zero: not at all.
    package static func pause(failures: Int) -> TimeInterval {
        guard failures >= breakerFailures else { return 0 }
        return min(longestPause, firstPause * pow(2, Double(min(failures - breakerFailures, 10))))
    }
}
