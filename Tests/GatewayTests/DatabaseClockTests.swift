import Foundation
import Synchronization
import TestSupport
import Testing

@testable import gateway

/// The wall clock of a node, and what its time is.
@Suite(.timeLimit(.minutes(5))) struct DatabaseClockTests {
    @Test func `a wall clock that jumps changes nothing, and time goes on evenly`() async throws {
        try await withTestGateway { test in
            let shift = Mutex(0.0)
            let steady = Mutex(Duration.zero)
            let begin = Date()
            let clock = DatabaseClock(
                database: test.gateway.databases.engine, wall: { begin.addingTimeInterval(shift.withLock { $0 }) },
                steady: { steady.withLock { $0 } }, logger: .silent)
            shift.withLock { $0 = 7_200 }
            #expect(clock.now() == begin.addingTimeInterval(7_200))

            shift.withLock { $0 = 0 }
            await clock.look()
            #expect(clock.now() == begin)
            for jump in [3_600.0, -3_600] {
                shift.withLock { $0 = jump }
                #expect(abs(clock.now().timeIntervalSince(begin)) < DatabaseClock.tolerance)
            }
            steady.withLock { $0 = .seconds(100) }
            #expect(abs(clock.now().timeIntervalSince(begin) - 100) < DatabaseClock.tolerance)
        }
    }
}
