package import Foundation
import Synchronization

/// A wall clock that stands still until it is told to move.
package final class TestClock: Sendable {
    private let moment: Mutex<Date>

    package init(_ start: Date = Date(timeIntervalSince1970: 1_780_000_000)) { moment = Mutex(start) }

    package var now: Date { moment.withLock { $0 } }

    package func advance(by seconds: TimeInterval) { moment.withLock { $0 = $0.addingTimeInterval(seconds) } }
}
