import CCurl
import CCurlShim
import Foundation
import Synchronization

/// The thread that libcurl runs on, as seen from tasks: hand over a transfer, await its end, close.
///
/// The thread keeps this object alive until it was closed and its last transfer ended.
final class EventThread: Sendable {
    enum Command: Sendable {
        case start(Submission)
        case cancel(UInt64)
    }

    private struct State {
        var commands: [Command] = []
        var lastID: UInt64 = 0
        /// Handed over and not ended.
        var live: Set<UInt64> = []
        /// Cancelled before they were handed over.
        var canceled: Set<UInt64> = []
        /// From then on nothing is taken; what still runs at that moment is ended.
        var closing: ContinuousClock.Instant?
        var hasEnded = false
        var waitForEnd: [CheckedContinuation<Void, Never>] = []
        var load = HTTPClient.Load(running: 0, waiting: 0)
    }

    private let multi: MultiHandle
    private let state = Mutex(State())

    init(_ limits: FairQueue<Submission>.Limits) throws(OutboundFailure) {
        guard let multi = MultiHandle(connections: limits.running) else {
            throw OutboundFailure(.internal, "libcurl could not be initialised", isTransient: false)
        }
        self.multi = multi
        let thread = Thread { [self] in
            TransferDriver(self, multi, limits).run()
            end()
        }
        thread.name = "outbound.http"
        thread.stackSize = 1 << 20
        thread.start()
    }

    var load: HTTPClient.Load { state.withLock { $0.load } }

    /// Returns when the transfer is over. Cancelling the task aborts it.
    func perform(_ order: TransferOrder) async throws(OutboundFailure) -> OutboundResponse {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { submit(Submission(id: id, order: order, continuation: $0)) }
        } onCancel: {
            cancel(id)
        }
        state.withLock { _ = $0.canceled.remove(id) }
        return try result.get()
    }

    /// Takes nothing new; returns when everything has ended, by itself or at `deadline`, and the thread is gone.
    func close(at deadline: ContinuousClock.Instant) async {
        stop(at: deadline)
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                if !state.hasEnded { state.waitForEnd.append(continuation) }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    /// The same without waiting.
    func stop(at deadline: ContinuousClock.Instant) {
        state.withLock { state in
            state.closing = min(state.closing ?? deadline, deadline)
            if !state.hasEnded { multi.wake() }
        }
    }

    private func submit(_ submission: Submission) {
        let failure: OutboundFailure? = state.withLock { state in
            if state.closing != nil { return .closed }
            if state.canceled.contains(submission.id) { return .canceled() }
            state.live.insert(submission.id)
            append(.start(submission), &state)
            return nil
        }
        if let failure { submission.continuation.resume(returning: .failure(failure)) }
    }

    private func cancel(_ id: UInt64) {
        state.withLock { state in
            if state.live.contains(id) { append(.cancel(id), &state) } else { state.canceled.insert(id) }
        }
    }

    private func append(_ command: Command, _ state: inout State) {
        state.commands.append(command)
        if state.commands.count == 1, !state.hasEnded { multi.wake() }
    }

    // MARK: For the thread

    /// What came since the last call, and until when to go on if the client is closing.
    func takeCommands() -> (commands: [Command], closing: ContinuousClock.Instant?) {
        state.withLock { state in
            defer { state.commands.removeAll(keepingCapacity: true) }
            return (state.commands, state.closing)
        }
    }

    func note(_ load: HTTPClient.Load) { state.withLock { $0.load = load } }

    func finish(_ submission: Submission, _ result: Result<OutboundResponse, OutboundFailure>) {
        state.withLock { _ = $0.live.remove(submission.id) }
        submission.continuation.resume(returning: result)
    }

    private func end() {
        let waiters = state.withLock { state in
            state.hasEnded = true  // from here on nobody wakes the handle
            state.load = HTTPClient.Load(running: 0, waiting: 0)
            multi.close()
            defer { state.waitForEnd = [] }
            return state.waitForEnd
        }
        for waiter in waiters { waiter.resume() }
    }
}

/// libcurl's multi handle: the connections.
///
/// Invariant behind `@unchecked`: only the event thread uses `raw`, except for `wake`, which libcurl allows from any thread (its manual,
/// curl_multi_wakeup) and which is called only under the lock that also guards `close`.
final class MultiHandle: @unchecked Sendable {
    let raw: UnsafeMutableRawPointer
    private static let isInitialized = ccurl_global_init() == CURLE_OK

    init?(connections: Int) {
        guard Self.isInitialized, let raw = curl_multi_init() else { return nil }
        self.raw = raw
        _ = ccurl_multi_set_long(raw, CURLMOPT_MAXCONNECTS, connections)
    }

    func wake() { curl_multi_wakeup(raw) }

    /// Once, when no transfer is left.
    func close() { curl_multi_cleanup(raw) }
}
