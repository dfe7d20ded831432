import Synchronization

/// Lets many callers share few writes: what queues up while a write is running goes into the next one; a lone caller is written at once, alone.
///
/// Up to `lanes` writes run at the same time, each by a task of its own. A write that fails as a whole is split and
/// tried again until the items that spoil it stand alone, so that one bad item fails only itself; but not when the database was
/// unreachable or the outcome is unknown: then every item of that write gets that error. When a write has sought a server in vain or has
/// waited for its answer for `patience`, all that wait behind it are told so, too; otherwise those that have waited that long. An item that is being written is never
/// abandoned: cancelling its caller has an effect only while it still waits in the queue.
package final class GroupCommit<Input: Sendable, Output: Sendable>: Sendable {
    /// Whether a write waits a moment for more items. A commit costs the same for one item as for many, and nobody waits for some of them.
    package enum Spacing: Sendable {
        case none
        /// While items queue, writes of a lane begin so far apart. An item that finds a free lane never waits.
        case whileQueued(Duration)
        /// Writes of a lane always begin so far apart; only the first after a rest is written at once.
        case always(Duration)
    }

    /// One item's place in the queue, from `enqueue` to its outcome.
    package struct Ticket: Sendable {
        fileprivate let id: UInt64
        fileprivate let outcome: Outcome
        fileprivate let group: GroupCommit

        /// Returns when the item is durable. Throws the item's own error, or `CancellationError` if cancelled before its write began. Asked once.
        package func value() async throws -> Output {
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { outcome.await($0) }
            } onCancel: {
                group.withdraw(id)
            }
        }
    }

    /// What became of an item, and who waits for it: whichever comes first waits for the other.
    fileprivate final class Outcome: Sendable {
        private enum State {
            case open
            case awaited(CheckedContinuation<Output, any Error>)
            case known(Result<Output, any Error>)
        }

        private let state = Mutex(State.open)

        func set(_ result: Result<Output, any Error>) {
            let waiter = state.withLock { state -> CheckedContinuation<Output, any Error>? in
                defer { state = .known(result) }
                guard case .awaited(let waiter) = state else { return nil }
                return waiter
            }
            waiter?.resume(with: result)
        }

        func await(_ continuation: CheckedContinuation<Output, any Error>) {
            let known = state.withLock { state -> Result<Output, any Error>? in
                if case .known(let result) = state { return result }
                state = .awaited(continuation)
                return nil
            }
            if let known { continuation.resume(with: known) }
        }
    }

    private struct Entry: Sendable {
        var input: Input
        var outcome: Outcome
        var at: ContinuousClock.Instant
    }

    private struct State {
        /// Lanes that are writing, or rest before they write.
        var busy = 0
        var id: UInt64 = 0
        var lastBegan: ContinuousClock.Instant?
        var waiting: [UInt64: Entry] = [:]
        /// Ids in the order they came; those no longer in `waiting` were cancelled.
        var order: [UInt64] = []
        var head = 0

        mutating func append(_ entry: Entry) -> UInt64 {
            id += 1
            waiting[id] = entry
            order.append(id)
            return id
        }

        mutating func takeBatch(_ maximum: Int) -> [Entry] {
            var batch: [Entry] = []
            while batch.count < maximum, head < order.count {
                if let entry = waiting.removeValue(forKey: order[head]) { batch.append(entry) }
                head += 1
            }
            if head == order.count {
                order.removeAll(keepingCapacity: true)
                head = 0
            } else if head > 4_096 {
                order.removeFirst(head)
                head = 0
            }
            return batch
        }
    }

    private let maximum: Int
    private let lanes: Int
    private let crowd: Int
    private let spacing: Spacing
    private let queueLimit: Int
    private let patience: Duration
    private let rest: @Sendable (Duration) async -> Void
    private let write: @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximum: items in one write.
    ///   - lanes: writes at the same time.
    ///   - crowd: items that must wait before another lane is used beside a busy one; 0: every lane is used at once.
    ///   - spacing: whether writes wait for more items.
    ///   - queueLimit: items that may wait; one more is refused with `.unavailable`.
    ///   - patience: how long an item waits for a server that does not answer.
    ///   - rest: how a lane waits; for tests.
    ///   - write: commits all items and gives one result per item in the same order, or throws with none of them committed
    ///     (or a `DatabaseError` with `.commitUnknown`). It sets its own deadline.
    package init(
        maximum: Int, lanes: Int, crowd: Int = 0, spacing: Spacing = .none, queueLimit: Int = 20_000, patience: Duration = .milliseconds(1_500),
        rest: @escaping @Sendable (Duration) async -> Void = { try? await ContinuousClock().sleep(for: $0) },
        write: @escaping @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    ) {
        self.maximum = max(1, maximum)
        self.lanes = max(1, lanes)
        self.crowd = crowd
        self.spacing = spacing
        self.queueLimit = queueLimit
        self.patience = patience
        self.rest = rest
        self.write = write
    }

    /// How many items wait at this moment; for metrics.
    package var depth: Int { state.withLock { $0.waiting.count } }

    /// Returns when the item is durable. Throws the item's own error, or `CancellationError` if cancelled before its write began.
    package func submit(_ input: Input) async throws -> Output {
        try Task.checkCancellation()
        return try await enqueue(input).value()
    }

    /// Takes an item without waiting: of two items, the one that was enqueued first is written first or in the same write before the other (with one
    /// lane; with several, a later item may become durable earlier). It is written even if nobody asks for the ticket's value.
    /// - Throws: `DatabaseError` with `.unavailable` if too many wait.
    package func enqueue(_ input: Input) throws -> Ticket {
        let outcome = Outcome()
        let (id, beginning) = try state.withLock { state -> (UInt64, [Entry]?) in
            let isLaneFree = state.busy < lanes && (state.busy == 0 || state.waiting.count >= crowd)
            guard isLaneFree || state.waiting.count < queueLimit else {
                throw DatabaseError(.unavailable, statement: "group commit", detail: "too many waiting")
            }
            let id = state.append(Entry(input: input, outcome: outcome, at: .now))
            guard isLaneFree else { return (id, nil) }
            state.busy += 1
            // The lane has to rest first: what has queued up meanwhile goes into the same write.
            if case .always = spacing, restEnd(of: state) != nil { return (id, []) }
            return (id, begin(&state))
        }
        if let beginning { Task { await run(beginning) } }
        return Ticket(id: id, outcome: outcome, group: self)
    }

    private func withdraw(_ id: UInt64) {
        state.withLock { $0.waiting.removeValue(forKey: id) }?.outcome.set(.failure(CancellationError()))
    }

    // MARK: A lane

    /// One lane, until nothing waits for it. `batch` is what it writes first; empty: it rests first.
    private func run(_ batch: [Entry]) async {
        var batch = batch
        while true {
            if !batch.isEmpty {
                let began = ContinuousClock.now
                let results = await Self.settle(batch.map(\.input)[...], by: write)
                for (entry, result) in zip(batch, results) { entry.outcome.set(result) }
                turnAway(after: results, since: began)
            }
            if let end = state.withLock({ restBeforeNext($0, after: batch) }) { await rest(ContinuousClock.now.duration(to: end)) }
            let next = state.withLock { state -> [Entry]? in
                guard isWanted(state) else {
                    state.busy -= 1
                    return nil
                }
                return begin(&state)
            }
            guard let next else { return }
            batch = next
        }
    }

    /// Whether nobody answered.
    private static func isSilence(_ result: Result<Output, any Error>) -> Bool {
        guard case .failure(let error as DatabaseError) = result, error.sqlState == nil else { return false }
        return [.unavailable, .deadline, .commitUnknown].contains(error.code)
    }

    /// Whether a server was sought in vain.
    private static func isAway(_ result: Result<Output, any Error>) -> Bool {
        guard case .failure(let error as DatabaseError) = result else { return false }
        return error.isServerAway
    }

    /// If nobody answered: nothing of what waits has been sent to anybody.
    private func turnAway(after results: [Result<Output, any Error>], since began: ContinuousClock.Instant) {
        guard results.allSatisfy(Self.isSilence) else { return }
        let now = ContinuousClock.now
        let early = now - began >= patience || results.contains(where: Self.isAway) ? now : now - patience
        let late = state.withLock { state in
            let late = state.waiting.filter { $0.value.at <= early }
            for id in late.keys { state.waiting.removeValue(forKey: id) }
            return late.values
        }
        for entry in late {
            entry.outcome.set(.failure(DatabaseError(.unavailable, statement: "group commit", detail: "the server does not answer")))
        }
    }

    /// What a write takes along that begins now.
    private func begin(_ state: inout State) -> [Entry] {
        state.lastBegan = .now
        return state.takeBatch(maximum)
    }

    /// Whether a lane that has written should go on.
    private func isWanted(_ state: State) -> Bool { !state.waiting.isEmpty && (state.busy == 1 || state.waiting.count >= crowd) }

    /// Until when the lane rests. A full batch need not wait for more.
    private func restBeforeNext(_ state: State, after batch: [Entry]) -> ContinuousClock.Instant? {
        guard isWanted(state), batch.isEmpty || state.waiting.count < maximum else { return nil }
        return restEnd(of: state)
    }

    private func restEnd(of state: State) -> ContinuousClock.Instant? {
        let gap: Duration
        switch spacing {
        case .none: return nil
        case .whileQueued(let duration), .always(let duration): gap = duration
        }
        guard let end = state.lastBegan?.advanced(by: gap), end > .now else { return nil }
        return end
    }

    /// One result per item, always. Halves a failed batch until the failing items stand alone.
    package static func settle(
        _ inputs: ArraySlice<Input>, by write: @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    ) async -> [Result<Output, any Error>] {
        do {
            let results = try await DatabaseError.outlivingConflicts { try await write(Array(inputs)) }
            guard results.count == inputs.count else { throw DatabaseError(.other, statement: "group commit", detail: "results missing") }
            return results
        } catch {
            guard inputs.count > 1, isWorthSplitting(error) else { return inputs.map { _ in .failure(error) } }
            let middle = inputs.startIndex + inputs.count / 2
            return await settle(inputs[..<middle], by: write) + settle(inputs[middle...], by: write)
        }
    }

    private static func isWorthSplitting(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return !(error is CancellationError) }
        return switch error.code {
        case .unavailable, .deadline, .commitUnknown: false
        default: error.detail != "results missing"
        }
    }
}
