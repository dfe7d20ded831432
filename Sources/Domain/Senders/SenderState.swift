package import Foundation

/// Where a sender stands. The raw value is the code that the API shows; each has a sentence and a way out.
///
///     unpaired ─▶ pairing ─▶ connecting ⇄ ready ⇄ disconnected
///                    ▲            │
///                    └── loggedOut, replaced, parked ◀┘        any ─▶ removing ─▶ removed
package enum SenderState: String, Sendable, CaseIterable {
    case unpaired
    case pairing
    case connecting
    case ready
    case disconnected
    case replaced
    case loggedOut = "logged_out"
    case temporarilyBanned = "temporarily_banned"
    case clientOutdated = "client_outdated"
    case parked
    case removing
    case removed

    /// How long credentials outlive a log-out by WhatsApp, so that a person may still order one more login (design.md §13.7), in seconds.
    package static let loggedOutGrace: TimeInterval = 3600

    /// One sentence for people.
    package var sentence: String {
        switch self {
        case .unpaired: "No phone has been linked to this sender yet."
        case .pairing: "A pairing code is offered and waits to be scanned."
        case .connecting: "The linked device is connecting to WhatsApp."
        case .ready: "Connected; messages leave at once."
        case .disconnected: "The connection is down; the gateway tries again by itself."
        case .replaced: "Another program connected with this linked device's credentials."
        case .loggedOut: "The linked device was removed on the phone or by WhatsApp."
        case .temporarilyBanned: "WhatsApp has banned this number for a time."
        case .clientOutdated: "WhatsApp no longer accepts this client version."
        case .parked: "The gateway stopped trying after repeated unknown errors."
        case .removing: "The sender is being unlinked and its credentials destroyed."
        case .removed: "The sender was unlinked and its credentials destroyed."
        }
    }

    /// What a person can do about it.
    package var wayOut: String {
        switch self {
        case .unpaired: "Start a pairing and scan the code with the phone."
        case .pairing: "Open WhatsApp, Linked devices, and scan the code."
        case .connecting, .ready, .disconnected, .removing: "Nothing needs to be done."
        case .replaced: "Make sure that no other program uses these credentials, then pair again."
        case .loggedOut: "Pair the sender again."
        case .temporarilyBanned: "Wait until the ban ends; it is lifted by itself."
        case .clientOutdated: "Update the gateway or set a newer client version."
        case .parked: "Look at the alert, then pair again or resume."
        case .removed: "Create a new sender."
        }
    }

    /// Whether some node should hold its lease: there is something to connect, pair or unlink.
    package var needsOwner: Bool {
        switch self {
        case .pairing, .connecting, .ready, .disconnected, .replaced, .temporarilyBanned, .clientOutdated, .parked, .removing: true
        case .unpaired, .loggedOut, .removed: false
        }
    }
}
