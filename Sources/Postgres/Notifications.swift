package import Logging
import ServiceLifecycle
import Synchronization

/// LISTEN on a connection of its own, which must be a direct one (no transaction pooler between). A hint only: whoever listens also polls,
/// for a notification sent while the connection was down is lost. After every (re)connection each stream gets one hint with `payload` nil.
package final class Notifications: Service, Sendable {
    package struct Hint: Hashable, Sendable {
        /// What the sender passed to `pg_notify`; nil when something may have been missed.
        package var payload: String?
    }

    private struct Subscriber {
        var id: UInt64
        var channel: String
        var continuation: AsyncStream<Hint>.Continuation
    }

    private struct State {
        var id: UInt64 = 0
        var subscribers: [Subscriber] = []
        var isStopped = false
    }

    private let connection: Connection
    private let state = Mutex(State())

    package init(_ configuration: Database.Configuration, logger: Logger) {
        var settings = ConnectionSettings(configuration, logger: logger)
        settings.name += "-listen"
        settings.isPooled = true
        connection = Connection(settings, backoff: Backoff())
    }

    /// The hints of one channel, for one consumer; the newest `buffer` are kept. Ends with `run()`. Any number of streams may share a channel.
    package func channel(_ name: String, buffer: Int = 64) -> AsyncStream<Hint> {
        AsyncStream(bufferingPolicy: .bufferingNewest(max(1, buffer))) { continuation in
            let id = state.withLock { state -> UInt64? in
                guard !state.isStopped else { return nil }
                state.id += 1
                state.subscribers.append(Subscriber(id: state.id, channel: name, continuation: continuation))
                return state.id
            }
            guard let id else { return continuation.finish() }
            continuation.onTermination = { [weak self] _ in self?.state.withLock { $0.subscribers.removeAll { $0.id == id } } }
            connection.interrupt.signal()
        }
    }

    /// Listens until shutdown or cancellation; reconnects by itself.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var listening: Set<String> = []
            while !Task.isCancelled {
                self.connection.interrupt.drain()  // before looking: a subscriber that comes later signals again
                let wanted = Set(self.state.withLock { $0.subscribers.map(\.channel) })
                do {
                    let added = wanted.subtracting(listening)
                    let interrupt = self.connection.interrupt
                    let (received, isNew) = try await withTaskCancellationHandler {
                        try await self.connection.listen(wanted, added: added, isOpen: !listening.isEmpty)
                    } onCancel: {
                        interrupt.signal()
                    }
                    listening = isNew ? wanted : listening.union(wanted)
                    for channel in isNew ? wanted : added { self.yield(Hint(payload: nil), to: channel) }
                    for (channel, payload) in received { self.yield(Hint(payload: payload), to: channel) }
                } catch {
                    listening = []  // the next round connects again, spaced out
                    _ = self.connection.backoff.failed()
                }
            }
        }
        let subscribers = state.withLock { state in
            state.isStopped = true
            return state.subscribers
        }
        subscribers.forEach { $0.continuation.finish() }
        await connection.close()
    }

    private func yield(_ hint: Hint, to channel: String) {
        let subscribers = state.withLock { $0.subscribers.filter { $0.channel == channel } }
        subscribers.forEach { $0.continuation.yield(hint) }
    }
}

extension Connection {
    /// LISTENs where not done yet, then waits up to 30 s for notifications, less when interrupted. `isNew` tells that the connection was
    /// opened by this call.
    func listen(_ channels: Set<String>, added: Set<String>, isOpen: Bool) throws -> (received: [(String, String)], isNew: Bool) {
        try Task.checkCancellation()
        if channels.isEmpty {
            _ = interrupt.wait(.seconds(30))
            return ([], false)
        }
        let isNew = !isOpen || !handle.isOpen
        do {
            if isNew {
                close()
                try open(for: .now, until: .now + settings.connectTimeout)
            }
            let missing = isNew ? channels : added
            if !missing.isEmpty {
                var watch = Watch(deadline: .now + .seconds(5))
                watch.mayCancel = false
                _ = try run(missing.sorted().map { Statement("listen", SQL(unescaped: "LISTEN \"\($0.replacing("\"", with: "\"\""))\"")) }, &watch)
                return ([], isNew)
            }
            var received: [(String, String)] = []
            if !takeNotifications(&received) {
                let wait = handle.wait(interrupt: interrupt, until: .now + .seconds(30))
                guard wait != .lost, handle.consumeInput(), handle.isOpen else { throw lost("listen", Watch(deadline: .now)) }
                if wait == .timeOut {
                    // Nothing was said for long. A line that has gone silent looks the same, so the server is asked whether it is there.
                    var watch = Watch(deadline: .now + .seconds(5))
                    _ = try run([Statement("listen.alive", "SELECT 1 AS alive")], &watch)
                }
                _ = takeNotifications(&received)
            }
            return (received, false)
        } catch {
            close()
            throw error
        }
    }

    private func takeNotifications(_ received: inout [(String, String)]) -> Bool {
        while let (channel, payload) = handle.nextNotification() { received.append((channel, payload)) }
        return !received.isEmpty
    }
}
