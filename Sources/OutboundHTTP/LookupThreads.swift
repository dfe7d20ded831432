import Dispatch
import Foundation
import Synchronization

/// Threads for lookups, which block: started as they are needed, at most so many, ended when the value goes away.
final class LookupThreads: Sendable {
    typealias Job = @Sendable () -> Void

    private struct State {
        var queue: [Job] = []
        var threads = 0
        var idle = 0
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
                state.withLock { $0.idle += 1 }
            }
        }
    }

    private let most: Int
    private let queueLimit: Int
    private let shared = Shared()

    init(most: Int, queueLimit: Int) {
        self.most = max(1, most)
        self.queueLimit = queueLimit
    }

    deinit {
        for _ in 0..<shared.state.withLock({ $0.threads }) { shared.ready.signal() }
    }

    /// False if the queue is full.
    func run(_ job: @escaping Job) -> Bool {
        let isNew: Bool? = shared.state.withLock { state in
            guard state.queue.count < queueLimit else { return nil }
            state.queue.append(job)
            if state.idle > 0 {
                state.idle -= 1
                return false
            }
            guard state.threads < most else { return false }
            state.threads += 1
            return true
        }
        guard let isNew else { return false }
        if isNew {
            let thread = Thread { [shared] in shared.work() }
            thread.name = "outbound.lookup"
            thread.stackSize = 512 << 10
            thread.start()
        }
        shared.ready.signal()
        return true
    }
}
