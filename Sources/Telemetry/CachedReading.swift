/// A value that costs something to read. However many ask, it is read once at a time and at most once in `lifetime`; who asks while it is being
/// read waits for that reading.
package actor CachedReading<Value: Sendable> {
    private let lifetime: Duration
    private let time: @Sendable () -> ContinuousClock.Instant
    private let read: @Sendable () async -> Value
    private var last: (value: Value, at: ContinuousClock.Instant)?
    private var running: Task<Value, Never>?

    /// - Parameters:
    ///   - time: what the lifetime is counted by.
    ///   - read: keeps a deadline of its own.
    package init(
        lifetime: Duration, time: @escaping @Sendable () -> ContinuousClock.Instant = { .now }, read: @escaping @Sendable () async -> Value
    ) {
        self.lifetime = lifetime
        self.time = time
        self.read = read
    }

    package var value: Value {
        get async {
            if let last, last.at.duration(to: time()) < lifetime { return last.value }
            if let running { return await running.value }
            let task = Task { [read] in await read() }
            running = task
            let value = await task.value
            running = nil
            last = (value, time())
            return value
        }
    }
}
