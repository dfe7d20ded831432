package import Foundation

/// One time that a message's bytes left, with where the time went. Durations are in milliseconds; nil: not measured, or not over yet.
package struct MessageAttempt: Sendable {
    package enum Outcome: String, Sendable, CaseIterable {
        case acknowledged, refused
        /// No answer came.
        case unknown
        /// A device's receipt came before the server's acknowledgement.
        case received
    }

    /// From 1.
    package let number: Int
    package let sender: Sender.ID
    package let outcome: Outcome
    /// When its first byte was about to leave.
    package let wireAt: Date
    package let endedAt: Date
    /// The server's number for a refusal.
    package let serverCode: Int?
    /// From when it was due until a node took it.
    package let queue: Int?
    /// Asking for the recipient's devices and keys.
    package let resolve: Int?
    package let encrypt: Int?
    /// Making the ratchet durable.
    package let commit: Int?
    /// From the wire until the server's answer.
    package let acknowledgement: Int?
    /// From the wire until the first receipt of a device.
    package let receipt: Int?
}
