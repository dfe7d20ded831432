import Primitives
import Synchronization

/// Returns prepared draws in order; drawing more ends the test by an unexpected key, not by a trap.
final class ScriptedRandom: RandomSource {
    private let draws: Mutex<ArraySlice<[UInt8]>>

    init(_ draws: [[UInt8]]) {
        self.draws = Mutex(draws[...])
    }

    func bytes(_ count: Int) -> [UInt8] {
        draws.withLock { $0.popFirst() } ?? [UInt8](repeating: 0, count: count)
    }

    var remaining: Int { draws.withLock { $0.count } }
}
