import Dispatch
import Foundation
import Synchronization

/// A few threads of our own for work that blocks, with a bounded queue. Swift's shared pool has one thread per core and must never wait.
///
/// The threads end when the value goes away. Nobody can be waiting then, since who waits holds a reference.
final class WorkerThreads: Sendable {
    private typealias Job = @Sendable () -> Void

    private struct State {
        var queue: [Job] = []
        /// Running and queued.
        var admitted = 0
    }

    /// What the threads hold; not the owner, or it would never go away.
    private final class Shared: Sendable {
        let state = Mutex(State())
        /// Counts the queued jobs; at the end, one more per thread.
        let ready = DispatchSemaphore(value: 0)

        func work() {
            while true {
                ready.wait()
                guard let job = state.withLock({ $0.queue.isEmpty ? nil : $0.queue.removeFirst() }) else { return }
                job()
            }
        }
    }

    let threads: Int
    let queueLimit: Int
    private let shared = Shared()

    init(threads: Int, queueLimit: Int, name: String) {
        precondition(threads > 0 && queueLimit >= 0, "at least one thread, and no negative queue")
        self.threads = threads
        self.queueLimit = queueLimit
        for number in 1...threads {
            let shared = shared
            let thread = Thread { shared.work() }
            thread.name = "\(name).\(number)"
            thread.stackSize = 512 << 10
            thread.start()
        }
    }

    deinit {
        for _ in 0..<threads { shared.ready.signal() }
    }

    /// Whether `run` would refuse at this moment.
    var isFull: Bool { shared.state.withLock { $0.admitted >= threads + queueLimit } }

    /// Runs `work` on one of the threads, in the order of the calls. `nil` at once if all threads are busy and the queue is full.
    func run<R: Sendable>(_ work: @escaping @Sendable () -> R) async -> R? {
        await withCheckedContinuation { continuation in
            let limit = threads + queueLimit
            let isAdmitted = shared.state.withLock { state in
                guard state.admitted < limit else { return false }
                state.admitted += 1
                state.queue.append { [shared] in
                    let result = work()
                    shared.state.withLock { $0.admitted -= 1 }
                    continuation.resume(returning: result)
                }
                return true
            }
            if isAdmitted { shared.ready.signal() } else { continuation.resume(returning: nil) }
        }
    }
}
