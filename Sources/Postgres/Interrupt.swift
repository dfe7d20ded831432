import Glibc

/// Wakes a thread that waits in poll(): a pipe whose reading end stands in the poll set. Signals are remembered until `drain()`.
final class Interrupt: Sendable {
    let reader: Int32
    private let writer: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        if pipe(&ends) != 0 { ends = [-1, -1] }  // poll() ignores -1: then only deadlines end a wait
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        reader = ends[0]
        writer = ends[1]
    }

    deinit {
        close(reader)
        close(writer)
    }

    func signal() {
        var byte: UInt8 = 1
        _ = write(writer, &byte, 1)  // a full pipe is already signalled
    }

    func drain() {
        var buffer = [UInt8](repeating: 0, count: 64)
        while read(reader, &buffer, buffer.count) > 0 {}
    }

    /// Waits for a signal or the end of the time; true if signalled.
    func wait(_ duration: Duration) -> Bool {
        var set = [pollfd(fd: reader, events: Int16(POLLIN), revents: 0)]
        return poll(&set, 1, Int32(clamping: duration.milliseconds)) > 0
    }
}
