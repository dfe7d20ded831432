import Synchronization

/// Lets many callers share few writes without making anyone wait on a timer: what queues up while a write is running goes into the next
/// one; a lone caller is written at once, alone.
///
/// Up to `lanes` writes run at the same time, each by one of the callers whose item is in it. A write that fails as a whole is split and
/// tried again until the items that spoil it stand alone, so that one bad item fails only itself; but not when the database was
/// unreachable or the outcome is unknown: then every item of that write gets that error. An item that is being written is never
/// abandoned: cancelling its caller has an effect only while it still waits in the queue.
package final class GroupCommit<Input: Sendable, Output: Sendable>: Sendable {
    private enum Turn: Sendable {
        case done(Output)
        /// The caller's item heads this batch and the caller writes it.
        case lead([Entry])
    }

    private struct Entry: Sendable {
        var id: UInt64
        var input: Input
        /// nil for a caller that never waited: it leads the batch.
        var continuation: CheckedContinuation<Turn, any Error>?
    }

    private struct State {
        /// Lanes that are writing. While one is free nobody waits.
        var busy = 0
        var id: UInt64 = 0
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
    private let queueLimit: Int
    private let write: @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximum: items in one write.
    ///   - lanes: writes at the same time.
    ///   - queueLimit: items that may wait; one more is refused with `.unavailable`.
    ///   - write: commits all items and gives one result per item in the same order, or throws with none of them committed
    ///     (or a `DatabaseError` with `.commitUnknown`). It sets its own deadline.
    package init(
        maximum: Int, lanes: Int, queueLimit: Int = 20_000, write: @escaping @Sendable ([Input]) async throws -> [Result<Output, any Error>]
    ) {
        self.maximum = max(1, maximum)
        self.lanes = max(1, lanes)
        self.queueLimit = queueLimit
        self.write = write
    }

    /// How many items wait at this moment; for metrics.
    package var depth: Int { state.withLock { $0.waiting.count } }

    /// Returns when the item is durable. Throws the item's own error, or `CancellationError` if cancelled before its write began.
    package func submit(_ input: Input) async throws -> Output {
        try Task.checkCancellation()
        let own = try state.withLock { state -> Entry? in
            guard state.busy >= lanes else {
                state.busy += 1
                return Entry(id: 0, input: input, continuation: nil)
            }
            guard state.waiting.count < queueLimit else { throw DatabaseError(.unavailable, statement: "group commit", detail: "too many waiting") }
            return nil
        }
        let turn = if let own { Turn.lead([own]) } else { try await wait(input) }
        switch turn {
        case .done(let output): return output
        case .lead(let batch): return try await lead(batch)
        }
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
                    if state.busy < lanes {  // a lane became free since the first look
                        state.busy += 1
                        return .success(.lead([Entry(id: id, input: input, continuation: nil)]))
                    }
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
    private func lead(_ batch: [Entry]) async throws -> Output {
        let inputs = batch.map(\.input)
        // A task of its own, awaited here: the leader's cancellation must not end the others' write.
        let results = await Task { await self.settle(inputs[...]) }.value
        passOn()
        for (entry, result) in zip(batch, results).dropFirst() { entry.continuation?.resume(with: result.map(Turn.done)) }
        return try results[0].get()
    }

    /// Gives the lane to the next waiting caller, or frees it.
    private func passOn() {
        let next = state.withLock { state -> [Entry] in
            let batch = state.takeBatch(maximum)
            if batch.isEmpty { state.busy -= 1 }
            return batch
        }
        guard let leader = next.first else { return }
        // The leader's continuation is resumed here and nowhere else: `lead` skips the first entry.
        leader.continuation?.resume(returning: .lead(next))
    }

    /// One result per item, always. Halves a failed batch until the failing items stand alone.
    private func settle(_ inputs: ArraySlice<Input>) async -> [Result<Output, any Error>] {
        do {
            let results = try await write(Array(inputs))
            guard results.count == inputs.count else { throw DatabaseError(.other, statement: "group commit", detail: "results missing") }
            return results
        } catch {
            guard inputs.count > 1, Self.isWorthSplitting(error) else { return inputs.map { _ in .failure(error) } }
            let middle = inputs.startIndex + inputs.count / 2
            return await settle(inputs[..<middle]) + settle(inputs[middle...])
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
