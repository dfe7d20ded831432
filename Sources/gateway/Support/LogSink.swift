import Dispatch
import Foundation
import Glibc
import Synchronization

/// Log lines on their way to a descriptor whose reader may be slow, or gone. Whoever logs never waits: lines queue up to a bound, a thread of the
/// sink's own writes them, and what does not fit is dropped and counted (reliability.md F104).
final class LogSink: Sendable {
    /// The process's standard error, of which there is one.
    static let standardError = LogSink(descriptor: STDERR_FILENO)

    private struct State {
        var lines: [String] = []
        /// Of `lines` and of what is being written.
        var bytes = 0
        var written = 0
        var dropped = 0
        /// Dropped and not told yet.
        var untold = 0
        var drains: [DispatchSemaphore] = []

        mutating func drop(_ count: Int) {
            dropped += count
            untold += count
        }
    }

    /// What the writing thread holds; not the sink, or it would never go away.
    private final class Shared: Sendable {
        let descriptor: Int32
        let state = Mutex(State())
        /// One for each time that lines came to an empty queue; at the end, one more.
        let ready = DispatchSemaphore(value: 0)

        init(descriptor: Int32) { self.descriptor = descriptor }

        func work() {
            // A reader that is gone is an error of write(2) here, not the end of the process.
            var pipe = sigset_t()
            sigemptyset(&pipe)
            sigaddset(&pipe, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &pipe, nil)
            while true {
                ready.wait()
                let lines = state.withLock { state in
                    defer { state.lines = [] }
                    return state.lines
                }
                guard !lines.isEmpty else { return }
                let bytes = lines.reduce(into: [UInt8]()) { $0 += $1.utf8 }
                let isWritten = write(bytes)
                let drains = state.withLock { state in
                    state.bytes -= bytes.count
                    if isWritten { state.written += lines.count } else { state.drop(lines.count) }
                    guard state.bytes == 0 else { return [DispatchSemaphore]() }
                    defer { state.drains = [] }
                    return state.drains
                }
                drains.forEach { $0.signal() }
            }
        }

        private func write(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    // Somebody else has made it non-blocking.
                    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&waiting, 1, 1_000)
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }

    /// Bytes that may wait.
    let limit: Int
    private let shared: Shared

    /// - Parameters:
    ///   - descriptor: stays open as long as the sink, and is not closed by it.
    ///   - limit: bytes that may wait to be written.
    init(descriptor: Int32, limit: Int = 1 << 20) {
        self.limit = limit
        shared = Shared(descriptor: descriptor)
        let thread = Thread { [shared] in shared.work() }
        thread.name = "log"
        thread.stackSize = 512 << 10
        thread.start()
    }

    deinit { shared.ready.signal() }

    /// Takes a line without its end; returns at once.
    func take(_ line: String) {
        let count = line.utf8.count + 1
        let isFirst = shared.state.withLock { state in
            guard state.bytes + count <= limit else {
                state.drop(1)
                return false
            }
            state.lines.append(line + "\n")
            state.bytes += count
            return state.lines.count == 1
        }
        if isFirst { shared.ready.signal() }
    }

    /// Lines since the beginning.
    var counts: (written: Int, dropped: Int) { shared.state.withLock { ($0.written, $0.dropped) } }

    /// How many lines were dropped since this was asked last, once there is room again to say so.
    func takeDropped() -> Int {
        shared.state.withLock { state in
            guard state.untold > 0, state.bytes <= limit / 2 else { return 0 }
            defer { state.untold = 0 }
            return state.untold
        }
    }

    /// Waits until all that was taken is written, at most that long: for the end of the process.
    @discardableResult
    func drain(within patience: Duration) -> Bool {
        let done = DispatchSemaphore(value: 0)
        let isEmpty = shared.state.withLock { state in
            if state.bytes > 0 { state.drains.append(done) }
            return state.bytes == 0
        }
        return isEmpty || done.wait(timeout: .now() + .milliseconds(Int(patience.milliseconds))) == .success
    }
}
