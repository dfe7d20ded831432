import Primitives
import Synchronization

/// Reproducible bytes (splitmix64), as a source for keys and as a generator for `Int.random`.
final class SeededRandom: RandomSource {
    private let state: Mutex<UInt64>

    init(_ seed: UInt64) {
        state = Mutex(seed)
    }

    func bytes(_ count: Int) -> [UInt8] {
        (0..<max(0, count)).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    func next() -> UInt64 {
        state.withLock { state in
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = state
            word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
            return word ^ (word >> 31)
        }
    }

    func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }
}

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
