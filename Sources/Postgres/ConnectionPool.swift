import Synchronization

/// A fixed number of connections and a bounded queue for those who wait for one, served in order. Connections open when first used.
///
/// A server may have no more connections to give. Then whoever comes waits for those that are open, and only now and then somebody tries to open
/// another one: a connection that cannot be opened is never preferred to one that is.
final class ConnectionPool: Sendable {
    /// The right to use a connection until it is given back; the number keeps earlier users out.
    struct Lease: Sendable {
        let connection: Connection
        let number: UInt64
    }

    private struct State {
        /// Those that are open stand last, and are taken first.
        var idle: [Connection]
        /// When somebody may try again to open a connection while others are open.
        var nextTry = ContinuousClock.Instant.now
        var waiters: [UInt64: CheckedContinuation<Lease?, any Error>] = [:]
        /// Waiters' numbers in the order they came; those no longer in `waiters` are skipped.
        var order: [UInt64] = []
        var head = 0
        var number: UInt64 = 0
        var isClosed = false
        var drained: [CheckedContinuation<Void, Never>] = []

        mutating func nextNumber() -> UInt64 {
            number += 1
            return number
        }

        mutating func popWaiter() -> CheckedContinuation<Lease?, any Error>? {
            while head < order.count {
                let waiter = waiters.removeValue(forKey: order[head])
                head += 1
                if head > 64 && head * 2 > order.count {
                    order.removeFirst(head)
                    head = 0
                }
                if let waiter { return waiter }
            }
            order = []
            head = 0
            return nil
        }
    }

    /// Between two tries to open a connection while others are open.
    private static let pause: Duration = .seconds(1)

    private let state: Mutex<State>
    private let connections: [Connection]
    private let backoff: Backoff
    private let queueLimit: Int

    init(_ settings: ConnectionSettings, count: Int, queueLimit: Int) {
        let backoff = Backoff()
        connections = (0..<count).map { _ in Connection(settings, backoff: backoff) }
        state = Mutex(State(idle: connections))
        self.backoff = backoff
        self.queueLimit = queueLimit
    }

    private var count: Int { connections.count }

    var load: Database.Load {
        state.withLock { Database.Load(connections: count, busy: count - $0.idle.count, waiting: $0.waiters.count) }
    }

    /// A connection at once if one is idle, otherwise in turn; `.deadline` when the time is over, `.unavailable` when too many wait or
    /// the pool is closed. Whoever gets one gives it back.
    nonisolated(nonsending) func acquire(until deadline: ContinuousClock.Instant) async throws -> Lease {
        let lease = try state.withLock { state -> Lease? in
            guard !state.isClosed else { throw DatabaseError(.unavailable, statement: "acquire", detail: "closed") }
            if let connection = take(&state) { return Lease(connection: connection, number: state.nextNumber()) }
            guard state.waiters.count < queueLimit else { throw DatabaseError(.unavailable, statement: "acquire", detail: "too many waiting") }
            return nil
        }
        if let lease { return lease }
        let id = state.withLock { $0.nextNumber() }
        return try await withThrowingTaskGroup(of: Lease?.self) { group in
            group.addTask { try await self.wait(id) }
            group.addTask {
                // Woken early only by cancellation, when the wait is over anyway.
                try? await Task.sleep(until: deadline, clock: .continuous)
                self.expire(id, with: Task.isCancelled ? CancellationError() : DatabaseError(.deadline, statement: "acquire"))
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw DatabaseError(.deadline, statement: "acquire")
        }
    }

    private func wait(_ id: UInt64) async throws -> Lease? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer = state.withLock { state -> Result<Lease?, any Error>? in
                    if state.isClosed { return .failure(DatabaseError(.unavailable, statement: "acquire", detail: "closed")) }
                    if let connection = take(&state) { return .success(Lease(connection: connection, number: state.nextNumber())) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[id] = continuation
                    state.order.append(id)
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            expire(id, with: CancellationError())
        }
    }

    /// Ends a wait, unless a connection has been handed over already.
    private func expire(_ id: UInt64, with error: any Error) {
        state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(throwing: error)
    }

    /// An idle connection for whoever is next; nil: it is better to wait for one that is open.
    private func take(_ state: inout State) -> Connection? {
        guard let connection = state.idle.last else { return nil }
        if !connection.isOpen, backoff.isFailing, connections.contains(where: \.isOpen) {
            guard state.nextTry <= .now else { return nil }
            state.nextTry = .now + Self.pause
        }
        return state.idle.popLast()
    }

    /// Gives a connection back: to the longest waiting, or to the idle ones.
    nonisolated(nonsending) func release(_ lease: Lease) async {
        let isClosed = state.withLock { state in
            guard !state.isClosed else { return true }
            state.idle.insert(lease.connection, at: lease.connection.isOpen ? state.idle.count : 0)
            while !state.waiters.isEmpty, let connection = take(&state) {
                guard let waiter = state.popWaiter() else {
                    state.idle.append(connection)
                    break
                }
                waiter.resume(returning: Lease(connection: connection, number: state.nextNumber()))
            }
            return false
        }
        guard isClosed else { return }
        await lease.connection.close()
        let drained = state.withLock { state in
            state.idle.append(lease.connection)
            defer { if state.idle.count == count { state.drained = [] } }
            return state.idle.count == count ? state.drained : []
        }
        drained.forEach { $0.resume() }
    }

    /// Refuses new users, fails those who wait, and returns when every connection is back and closed. Every use has a deadline, so
    /// this ends.
    func close() async {
        let (idle, waiters) = state.withLock { state in
            defer {
                state.isClosed = true
                state.waiters = [:]
                state.order = []
                state.head = 0
            }
            return (state.isClosed ? [] : state.idle, state.waiters.values)
        }
        waiters.forEach { $0.resume(throwing: DatabaseError(.unavailable, statement: "acquire", detail: "closed")) }
        for connection in idle { await connection.close() }
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.idle.count == count { return true }
                state.drained.append(continuation)
                return false
            }
            if isDone { continuation.resume() }
        }
    }
}
