#if DEBUG
    import Foundation
#endif

/// Places where a proof may kill the process, to see that nothing is lost or doubled there. In release builds `hit` is empty.
package enum Failpoint: String, CaseIterable, Sendable {
    /// The message is committed, the 202 has not left.
    case accepted
    /// The claim is committed, nothing was encrypted.
    case prepared
    /// Ratchet and `on_wire` are committed, no byte has left.
    case onWire = "on_wire"
    /// The stanza was handed to the socket, no acknowledgement has come.
    case written
    /// The server's acknowledgement is here, not committed.
    case acknowledged
    /// `sent` is committed.
    case sent
    /// A delivery receipt is committed, not acknowledged to the server.
    case delivered
    /// A read receipt is committed, not acknowledged to the server.
    case read

    /// Whether the environment says `FAILPOINT=<name>`.
    package var isArmed: Bool {
        #if DEBUG
            ProcessInfo.processInfo.environment["FAILPOINT"] == rawValue
        #else
            false
        #endif
    }

    /// Kills the process if the place is armed.
    package static func hit(_ point: Failpoint) {
        #if DEBUG
            if point.isArmed { kill(getpid(), SIGKILL) }
        #endif
    }
}

/// Deliberate mistakes that the proofs must notice. Always off in release builds.
package enum Sabotage: String, CaseIterable, Sendable {
    /// A resend takes a new message id instead of the stored one.
    case freshIDs = "fresh-ids"

    /// Whether the environment says `SABOTAGE=<name>`.
    package var isOn: Bool {
        #if DEBUG
            ProcessInfo.processInfo.environment["SABOTAGE"] == rawValue
        #else
            false
        #endif
    }
}
