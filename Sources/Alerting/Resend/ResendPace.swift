package import Foundation
import Synchronization

/// How fast this process may ask Resend: so many requests a second for the whole team, and what Resend's own headers say.
package final class ResendPace: Sendable {
    private let perSecond: Int
    private let state: Mutex<(bucket: TokenBucket?, pause: Date)> = Mutex((nil, .distantPast))

    /// - Parameter perSecond: the team's limit; 2 unless Resend has raised it. (resend.com/docs/api-reference/rate-limit)
    package init(perSecond: Int) { self.perSecond = max(1, perSecond) }

    /// Takes leave for one request.
    /// - Returns: nil: now. Else nothing was taken, and it is to be asked again then.
    package func take(now: Date) -> Date? {
        state.withLock { state in
            guard state.pause <= now else { return state.pause }
            // Half of them at once and half over the second: never more than all of them in any second.
            let half = Double(perSecond) / 2
            var bucket = state.bucket ?? TokenBucket(capacity: half, perSecond: half, now: now)
            if let wait = bucket.next(now) { return wait }
            bucket.take(now)
            state.bucket = bucket
            return nil
        }
    }

    /// Nothing before this.
    package func pause(until: Date) { state.withLock { $0.pause = max($0.pause, until) } }
}
