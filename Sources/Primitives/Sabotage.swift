#if DEBUG
    import Foundation
#endif

/// Deliberate mistakes that the proofs must notice. Always off in release builds.
///
/// Mistakes in statements are not listed here: debug builds let a proof change the text of a named statement (`StatementSabotage` in Postgres).
package enum Sabotage: String, CaseIterable, Sendable {
    /// A resend takes a new message id instead of the stored one.
    case freshIDs = "fresh-ids"
    /// The bytes leave before the ratchet and `on_wire` are committed.
    case sendBeforeCommit = "send-before-commit"
    /// A resend leaves from any other sender of this node.
    case resendFromOtherSender = "resend-from-other-sender"
    /// A missing answer counts as a refusal.
    case silenceIsRefusal = "silence-is-refusal"
    /// A lease is trusted for ever.
    case endlessTrust = "endless-trust"
    /// The system's source of random bytes gives the same ones again and again.
    case constantRandom = "constant-random"
    /// Ids that are made within a sixteenth of a second are the same.
    case collidingIDs = "colliding-ids"

    /// Whether the environment says `SABOTAGE=<name>`.
    package var isOn: Bool {
        #if DEBUG
            Self.wanted == rawValue
        #else
            false
        #endif
    }

    #if DEBUG
        private static let wanted = ProcessInfo.processInfo.environment["SABOTAGE"]
    #endif
}
