import Primitives
import Synchronization

/// Returns recorded bytes draw by draw, and remembers whether anything else was asked for.
///
/// Recorded keys are clamped already, so a key drawn from here is the recorded one.
final class RecordedRandom: RandomSource {
    private struct State {
        var draws: ArraySlice<[UInt8]>
        var isExceeded = false
    }

    private let state: Mutex<State>

    init(_ draws: [[UInt8]]) {
        state = Mutex(State(draws: draws[...]))
    }

    func bytes(_ count: Int) -> [UInt8] {
        state.withLock { state in
            guard let next = state.draws.popFirst(), next.count == count else {
                state.isExceeded = true
                return [UInt8](repeating: 1, count: max(0, count))
            }
            return next
        }
    }

    /// Throws `VectorMismatch` unless exactly the recorded bytes were drawn.
    func expectExhausted(_ what: String) throws {
        let (left, isExceeded) = state.withLock { ($0.draws.count, $0.isExceeded) }
        try expect(!isExceeded, "\(what): more random bytes drawn than recorded")
        try expect(left == 0, "\(what): \(left) recorded draws not made")
    }
}
