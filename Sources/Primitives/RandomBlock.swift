import Synchronization

/// Random bytes drawn from another source in one go and handed out piece by piece, so that a message that needs seven nonces asks the system
/// once. What was handed out is never handed out again.
package final class RandomBlock: RandomSource {
    private struct State {
        var bytes: [UInt8]
        var used = 0
    }

    private let source: any RandomSource
    private let size: Int
    private let state: Mutex<State>

    /// - Parameter count: how many bytes are drawn at once; more are drawn when they are used up.
    package init(_ count: Int, from source: any RandomSource) {
        self.source = source
        size = max(count, 1)
        state = Mutex(State(bytes: source.bytes(max(count, 1))))
    }

    package func bytes(_ count: Int) -> [UInt8] {
        guard count > 0 else { return [] }
        guard count <= size else { return source.bytes(count) }
        return state.withLock { state in
            if state.bytes.count - state.used < count { state = State(bytes: source.bytes(size)) }
            defer { state.used += count }
            return Array(state.bytes[state.used..<state.used + count])
        }
    }
}
