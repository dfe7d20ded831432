import Foundation

/// Decides what follows the end of a connection: protocol.md 8 with the choices of design.md 13.7. No clock, no socket.
struct ReconnectPolicy: Sendable {
    enum Decision: Equatable, Sendable {
        case reconnect(after: Duration, state: ConnectionState)
        case finish(ConnectionState)
    }

    /// Ends in a row without 60 s of stability in between: the exponent of the back-off.
    private(set) var attempts = 0
    /// Ends in a row that no table knows.
    private(set) var unknownEnds = 0
    /// Ends in a row that get one second chance.
    private(set) var doubtfulEnds = 0

    /// Logged in and stable for 60 s: the past is forgotten.
    mutating func becameStable() {
        attempts = 0
        unknownEnds = 0
        doubtfulEnds = 0
    }

    /// - Parameters:
    ///   - jitter: a random number; decides the place within the back-off's window.
    ///   - now: the time from which a ban counts.
    mutating func next(after end: LinkEnd, jitter: UInt64, now: Date) -> Decision {
        switch end {
        case .stopped: return .finish(.stopped)
        case .loggedOut: return .finish(.loggedOut(code: "requested"))
        case .passkeyRequired, .pairingRefused: return .finish(.parked(code: end.code))
        case .codesUsedUp: return .finish(.parked(code: "pairing_expired"))
        case .paired: return .reconnect(after: .zero, state: .disconnected(code: end.code))
        case .closed, .dialFailed, .handshakeTimeout, .corruptStream, .keepaliveLost, .ackStalled, .loginFailed, .storeFailed:
            return backOff(end, jitter)
        case .handshakeFailed: return unknown(end, jitter)
        case .streamError(let code, let conflict): return streamError(end, code, conflict, jitter)
        case .failure(let reason, let code, let expire): return failure(end, reason, code, expire, jitter, now)
        }
    }

    private mutating func streamError(_ end: LinkEnd, _ code: Int?, _ conflict: String?, _ jitter: UInt64) -> Decision {
        if conflict == "replaced" { return .finish(.replaced) }
        if conflict == "device_removed" { return .finish(.loggedOut(code: end.code)) }
        switch code {
        case 515:
            // At once, but a server that only ever restarts us must not become a tight loop.
            attempts += 1
            return attempts <= 3 ? .reconnect(after: .zero, state: .disconnected(code: end.code)) : backOff(end, jitter)
        // A bare 401 is settled by what the next login says.
        case nil, 401, 500, 503: return backOff(end, jitter)
        case 403, 405, 409, 411, 412, 516: return secondChance(end)
        default: return unknown(end, jitter)
        }
    }

    private mutating func failure(_ end: LinkEnd, _ reason: Int?, _ code: Int?, _ expire: Int?, _ jitter: UInt64, _ now: Date) -> Decision {
        switch reason {
        case 401, 403, 406: return .finish(.loggedOut(code: end.code))
        case 402:
            let seconds = min(max(expire ?? Self.unstatedBan, 60), Self.longestBan)
            let extra = Int(jitter % UInt64(max(seconds / 10, 60)))
            return .reconnect(
                after: .seconds(seconds + extra), state: .temporarilyBanned(code: code ?? 0, until: now.addingTimeInterval(TimeInterval(seconds))))
        case 405: return .reconnect(after: .seconds(900 + Int(jitter % 60)), state: .clientOutdated)
        case 500, 503: return backOff(end, jitter)
        case 400, 409, 415, 418, 501: return .finish(.parked(code: end.code))
        default: return unknown(end, jitter)
        }
    }

    private mutating func secondChance(_ end: LinkEnd) -> Decision {
        doubtfulEnds += 1
        guard doubtfulEnds < 2 else { return .finish(.parked(code: end.code)) }
        return .reconnect(after: .seconds(60), state: .disconnected(code: end.code))
    }

    private mutating func unknown(_ end: LinkEnd, _ jitter: UInt64) -> Decision {
        unknownEnds += 1
        guard unknownEnds < 4 else { return .finish(.parked(code: end.code)) }
        return backOff(end, jitter)
    }

    /// Full jitter over 1, 2, 4 … 300 s.
    private mutating func backOff(_ end: LinkEnd, _ jitter: UInt64) -> Decision {
        let window = min(Self.longestPause, UInt64(1) << UInt64(min(attempts, 20)))
        attempts += 1
        return .reconnect(after: .milliseconds(Int64(jitter % (window * 1_000 + 1))), state: .disconnected(code: end.code))
    }

    private static let longestPause: UInt64 = 300
    /// A ban without an end is looked at again after a day.
    private static let unstatedBan = 86_400
    private static let longestBan = 30 * 86_400
}
