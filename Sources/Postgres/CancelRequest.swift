import CLibpq
import Foundation

/// One request to a server to stop what a connection of ours makes it do, over a connection of its own.
///
/// libpq waits for the end of that connection, and on a line that has gone silent it would wait for ever. So it does that on a thread of its own,
/// which is left behind if need be; a connection asks once at most before it is closed, so there is never more than one of them per connection.
final class CancelRequest: Sendable {
    private let end = DispatchSemaphore(value: 0)

    /// Takes over `canceler` (PQgetCancel), which belongs to nobody else: libpq allows its use from any thread.
    init(_ canceler: OpaquePointer) {
        nonisolated(unsafe) let canceler = canceler
        Thread.detachNewThread { [end] in
            var message = [CChar](repeating: 0, count: 256)
            _ = PQcancel(canceler, &message, Int32(message.count))
            PQfreeCancel(canceler)
            end.signal()
        }
    }

    /// Whether the server has acted on it by then. Until it has, it could still hit whatever the connection does next. Asked once.
    func isOver(by deadline: ContinuousClock.Instant) -> Bool {
        end.wait(timeout: .now() + .milliseconds((deadline - .now).milliseconds)) == .success
    }
}
