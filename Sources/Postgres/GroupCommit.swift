import Synchronization

/// Lets many callers share few writes: what queues up while a write is running goes into the next one; a lone caller is written at once, alone.
///
/// Up to `lanes` writes run at the same time, each by one of the callers whose item is in it. A write that fails as a whole is split and
/// tried again until the items that spoil it stand alone, so that one bad item fails only itself; but not when the database was
/// unreachable or the outcome is unknown: then every item of that write gets that error. An item that is being written is never
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

    private enum Turn: Sendable {
        case done(Output)
        /// The caller's item heads a batch, and the caller writes it.
        case lead(Lead)
    }

    private struct Lead: Sendable {
        var batch: [Entry]
        /// The lane rests until then; what has queued up meanwhile joins the batch. nil: it is written now, as it is.
        var notBefore: ContinuousClock.Instant?
    }

    private struct Entry: Sendable {
        var id: UInt64
        var input: Input
        /// nil for a caller that never waited: it leads the batch.
        var continuation: CheckedContinuation<Turn, any Error>?
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
    private let rest: @Sendable (Duration) async -> Void
    private let write: @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximum: items in one write.
    ///   - lanes: writes at the same time.
    ///   - crowd: items that must wait before another lane is used beside a busy one; 0: every lane is used at once.
    ///   - spacing: whether writes wait for more items.
    ///   - queueLimit: items that may wait; one more is refused with `.unavailable`.
    ///   - rest: how a lane waits; for tests.
    ///   - write: commits all items and gives one result per item in the same order, or throws with none of them committed
    ///     (or a `DatabaseError` with `.commitUnknown`). It sets its own deadline.
    package init(
        maximum: Int, lanes: Int, crowd: Int = 0, spacing: Spacing = .none, queueLimit: Int = 20_000,
        rest: @escaping @Sendable (Duration) async -> Void = { try? await ContinuousClock().sleep(for: $0) },
        write: @escaping @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    ) {
        self.maximum = max(1, maximum)
        self.lanes = max(1, lanes)
        self.crowd = crowd
        self.spacing = spacing
        self.queueLimit = queueLimit
        self.rest = rest
        self.write = write
    }

    /// How many items wait at this moment; for metrics.
    package var depth: Int { state.withLock { $0.waiting.count } }

    /// Returns when the item is durable. Throws the item's own error, or `CancellationError` if cancelled before its write began.
    package func submit(_ input: Input) async throws -> Output {
        try Task.checkCancellation()
        let own = try state.withLock { state -> Lead? in
            if let lead = freeLane(&state, for: input) { return lead }
            guard state.waiting.count < queueLimit else { throw DatabaseError(.unavailable, statement: "group commit", detail: "too many waiting") }
            return nil
        }
        let turn = if let own { Turn.lead(own) } else { try await wait(input) }
        switch turn {
        case .done(let output): return output
        case .lead(let batch): return try await lead(batch)
        }
    }

    /// Takes a lane if one may be used, for what waits (before it, if anything does) and for `input`.
    private func freeLane(_ state: inout State, for input: Input) -> Lead? {
        guard state.busy < lanes, state.busy == 0 || state.waiting.count >= crowd else { return nil }
        state.busy += 1
        let own = Entry(id: 0, input: input, continuation: nil)
        if case .always(let gap) = spacing, let notBefore = restEnd(gap, since: state.lastBegan) { return Lead(batch: [own], notBefore: notBefore) }
        return Lead(batch: [own] + begin(&state, maximum - 1))
    }

    /// What a write takes along that begins now.
    private func begin(_ state: inout State, _ room: Int) -> [Entry] {
        state.lastBegan = .now
        return state.takeBatch(room)
    }

    private var gap: Duration? {
        switch spacing {
        case .none: nil
        case .whileQueued(let gap), .always(let gap): gap
        }
    }

    private func restEnd(_ gap: Duration, since began: ContinuousClock.Instant?) -> ContinuousClock.Instant? {
        guard let end = began?.advanced(by: gap), end > .now else { return nil }
        return end
    }

    private func wait(_ input: Input) async throws -> Turn {
        let id = state.withLock { state in
            state.id += 1
            return state.id
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer = state.withLock { state -> Result<Turn, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    // A lane became free since the first look.
                    if let lead = freeLane(&state, for: input) { return .success(.lead(lead)) }
                    state.waiting[id] = Entry(id: id, input: input, continuation: continuation)
                    state.order.append(id)
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.continuation?.resume(throwing: CancellationError())
        }
    }

    /// Writes a batch whose first item is the caller's, hands the lane on, and returns the caller's own result.
    private func lead(_ lead: Lead) async throws -> Output {
        // A task of its own, awaited here: the leader's cancellation must not end the others' write.
        let (batch, results) = await Task { () -> ([Entry], [Result<Output, any Error>]) in
            var batch = lead.batch
            if let notBefore = lead.notBefore {
                await self.rest(ContinuousClock.now.duration(to: notBefore))
                batch += self.state.withLock { self.begin(&$0, self.maximum - 1) }
            }
            return (batch, await Self.settle(batch.map(\.input)[...], by: self.write))
        }.value
        passOn()
        for (entry, result) in zip(batch, results).dropFirst() { entry.continuation?.resume(with: result.map(Turn.done)) }
        return try results[0].get()
    }

    /// Gives the lane to the next waiting caller, or frees it.
    private func passOn() {
        let next = state.withLock { state -> Lead? in
            let isSpare = state.busy > 1 && state.waiting.count < crowd
            if isSpare || state.waiting.isEmpty {
                state.busy -= 1
                return nil
            }
            // A full batch need not wait for more.
            if let gap, state.waiting.count < maximum, let notBefore = restEnd(gap, since: state.lastBegan) {
                return Lead(batch: state.takeBatch(1), notBefore: notBefore)
            }
            return Lead(batch: begin(&state, maximum))
        }
        // The leader's continuation is resumed here and nowhere else: `lead` skips the first entry.
        if let next { next.batch.first?.continuation?.resume(returning: .lead(next)) }
    }

    /// One result per item, always. Halves a failed batch until the failing items stand alone.
    package static func settle(
        _ inputs: ArraySlice<Input>, by write: @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    ) async -> [Result<Output, any Error>] {
        do {
            let results = try await write(Array(inputs))
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
