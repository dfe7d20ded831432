import Domain
import Primitives
import WhatsApp

/// What a session has from its node: the way to WhatsApp, the word on the lease, and somebody who does what it cannot do to itself.
struct SessionPlace: Sendable {
    enum Notice: Sendable {
        /// Messages can leave, or cannot any more.
        case readiness(Bool)
        /// A write was refused: another node owns the sender. The session must be stopped, by another task than its own.
        case leaseLost
        /// Its client was refused a write: its connection must be closed at once, by another task than its own; the session goes on.
        case trustLapsed
        /// Its connection has no purpose any more and must be ended, by another task than its own; the session goes on.
        case connectionSuperfluous
    }

    /// Nil: there is nothing to connect this sender to (a test sender without a simulator).
    var makeClient: (@Sendable (SealedDeviceStore, any DeviceObserver, EndableSleep) -> WhatsAppClient)?
    /// Whether the node's leases can be trusted at this moment, by its own clock.
    var isTrusted: @Sendable () -> Bool
    var notice: @Sendable (OwnedSender, Notice) -> Void
    /// Shared by all sessions of the node; nil: each store reads for itself.
    var reads: SignalReads?
}
