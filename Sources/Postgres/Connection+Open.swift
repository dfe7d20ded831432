import CLibpq
import Logging
import Synchronization

/// How to reach a server.
struct ConnectionSettings: Sendable {
    /// `postgres://…` or `key=value …`, as libpq reads them.
    var url: String
    /// Appears in `pg_stat_activity` and as the thread's name.
    var name: String
    /// Behind a transaction pooler: nothing may outlive a transaction, so no prepared statements.
    var isPooled: Bool
    /// How long one attempt to connect may take.
    var connectTimeout: Duration
    /// How long a caller waits for a server that cannot be reached before it gets `.unavailable`.
    var patience: Duration
    var log: Logger?
    /// What the pools of this process know about the database's history.
    var lineage = Lineage()

    /// libpq's parameters: our defaults, then the URL, then what nobody may change.
    /// A server beyond a socket or loopback is spoken to over TLS with its name checked, unless the URL says `require` or `disable`
    /// itself; the modes that fall back to plain text by themselves (`allow`, `prefer`) are not taken.
    /// - Parameter turn: of several servers the first so many are tried last.
    func parameters(turn: Int = 0) -> [(String, String)] {
        var parameters = [
            ("application_name", name), ("tcp_user_timeout", "5000"), ("keepalives_idle", "30"), ("keepalives_interval", "10"),
            ("keepalives_count", "3"),
        ]
        let given = Self.parse(url)
        parameters.append(("dbname", url))
        parameters.append(("client_encoding", "UTF8"))
        parameters.append(("ssl_min_protocol_version", given["ssl_min_protocol_version"] ?? "TLSv1.2"))
        let hosts = (given["hostaddr"] ?? given["host"] ?? "").split(separator: ",")
        let isLocal = hosts.allSatisfy { $0.hasPrefix("/") || $0.hasPrefix("@") || $0 == "localhost" || $0 == "127.0.0.1" || $0 == "::1" }
        if !isLocal && [nil, "allow", "prefer"].contains(given["sslmode"]) { parameters.append(("sslmode", "verify-full")) }
        for key in ["host", "hostaddr", "port"] {
            let parts = (given[key] ?? "").split(separator: ",", omittingEmptySubsequences: false)
            guard turn % servers > 0, parts.count == servers else { continue }
            parameters.append((key, (parts[(turn % servers)...] + parts[..<(turn % servers)]).joined(separator: ",")))
        }
        return parameters
    }

    /// How many servers the URL names.
    var servers: Int {
        let given = Self.parse(url)
        return max(1, (given["hostaddr"] ?? given["host"] ?? "").split(separator: ",", omittingEmptySubsequences: false).count)
    }

    private static func parse(_ url: String) -> [String: String] {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            PQfreemem(message)
            return [:]
        }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return values
    }
}

/// Spaces out attempts to reach a server that does not answer, for all connections of a pool together: after a failure they try one
/// after the other, at growing and jittered distances, instead of all at once.
final class Backoff: Sendable {
    private struct State {
        var failures = 0
        var turn = 0
        var next = ContinuousClock.Instant.now
    }

    private let state = Mutex(State())

    /// How long to wait before the next attempt is this caller's; nil, with nothing reserved, if that is not before `end`.
    func reserve(before end: ContinuousClock.Instant) -> Duration? {
        state.withLock { state in
            guard state.failures > 0 else { return .zero }
            let limit = min(1_000, 20 << min(state.failures, 6))
            let now = ContinuousClock.now
            let turn = max(state.next, now)
            guard turn < end else { return nil }
            state.next = turn + .milliseconds(Int.random(in: limit / 2...limit))
            return turn - now
        }
    }

    /// True if this was the first failure, so that it is logged once.
    func failed() -> Bool {
        state.withLock { state in
            state.failures += 1
            state.turn += 1
            if state.failures == 1 { state.next = .now + .milliseconds(Int.random(in: 10...40)) }
            return state.failures == 1
        }
    }

    /// Of several servers, how many to pass over at first: the one that failed last comes last, and one that did well stays first.
    var turn: Int { state.withLock { $0.turn } }

    /// Whether the last attempt failed.
    var isFailing: Bool { state.withLock { $0.failures > 0 } }

    /// True if attempts had failed before.
    func succeeded() -> Bool {
        state.withLock { state in
            defer { state.failures = 0 }
            return state.failures > 0
        }
    }
}

extension Connection {
    /// Makes sure that there is a live connection. Tries again, spaced out, until the deadline or the end of patience: of a server that is
    /// known to be away it counts from `asked`, when whoever wants the connection began to wait for one.
    func open(for asked: ContinuousClock.Instant, until deadline: ContinuousClock.Instant) throws {
        if isAlive() { return }
        close()
        let end = min(deadline, (backoff.isFailing ? asked : .now) + settings.patience)
        while true {
            guard let pause = backoff.reserve(before: end) else { throw unavailable(deadline, "server cannot be reached") }
            if pause > .zero, interrupt.wait(pause) { throw CancellationError() }
            var refused: String?
            if try connect(turn: backoff.turn, until: min(deadline, .now + settings.connectTimeout)) {
                refused = try refusal(until: min(deadline, .now + settings.connectTimeout))
                guard refused != nil else {
                    opened.store(true, ordering: .relaxed)
                    if backoff.succeeded() { settings.log?.info("database reachable again") }
                    return
                }
            }
            let reason = refused ?? handle.failure
            close()
            if backoff.failed() { settings.log?.warning("database unreachable", metadata: ["error.detail": "\(reason)"]) }
            if .now >= end || reason == ConnectionHandle.invalid { throw unavailable(deadline, reason) }
        }
    }

    private func unavailable(_ deadline: ContinuousClock.Instant, _ reason: String) -> DatabaseError {
        DatabaseError(.now >= deadline ? .deadline : .unavailable, statement: DatabaseError.connecting, detail: reason)
    }

    /// Whether an idle connection still has a server at its other end: a dead one has something to read, its last words or its end.
    private func isAlive() -> Bool {
        guard handle.isOpen else { return false }
        for _ in 0..<8 {
            guard handle.wait(interrupt: nil, until: .now) == .ready else { return handle.isOpen }
            guard handle.consumeInput(), !handle.isBroken else { return false }
            while handle.nextNotification() != nil {}
        }
        return false
    }

    /// Why the server that was reached may not be used; nil: it may.
    private func refusal(until end: ContinuousClock.Instant) throws -> String? {
        var watch = Watch(deadline: end)
        // Whoever wants the connection has not begun.
        let before = phase
        defer { phase = before }
        do {
            guard let server = try run([Lineage.Server.question], &watch).first?.rows(Lineage.Server.init).first else { return nil }
            return settings.lineage.refusal(of: server)
        } catch let error as DatabaseError {
            // A server that does not tell, to this login or in this way, is taken as it is; one that is gone is not there.
            return handle.isOpen ? nil : error.detail.isEmpty ? "connection lost" : error.detail
        }
    }

    private func connect(turn: Int, until end: ContinuousClock.Instant) throws -> Bool {
        handle.begin(settings.parameters(turn: turn))
        guard !handle.isBroken else { return false }
        var isWriting = true
        while true {
            switch handle.wait(writing: isWriting, reading: !isWriting, interrupt: interrupt, until: end) {
            case .interrupted:
                close()
                throw CancellationError()
            case .timeOut, .lost: return false
            case .ready: break
            }
            switch handle.step() {
            case .open: return true
            case .failed: return false
            case .reading: isWriting = false
            case .writing: isWriting = true
            }
        }
    }
}
