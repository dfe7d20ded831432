@testable import Postgres
import Testing

@Suite struct DeadlineTests {
    /// A deadline that is over by a few milliseconds once became -1 for `poll`, which waits for ever.
    @Test(arguments: [
        (Duration.zero, 0), (.nanoseconds(-1), 0), (.microseconds(-1_500), 0), (.milliseconds(-3), 0), (.milliseconds(-999), 0), (.seconds(-2), 0),
        (.nanoseconds(1), 1), (.milliseconds(1), 1), (.microseconds(1_001), 2), (.seconds(5), 5_000), (.seconds(3_000_000), 2_000_000_000),
    ]) func `time that is left counts in whole milliseconds and is never negative`(left: Duration, milliseconds: Int) {
        #expect(left.milliseconds == milliseconds)
    }
}
