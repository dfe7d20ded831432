import Domain
import Foundation
import Web

/// A pairing as callers see it (schema `Pairing` of openapi.yaml).
struct PairingJSON: Encodable, Equatable {
    enum State: String, Encodable {
        /// No code yet.
        case waiting
        /// A code to scan.
        case showing
        case paired
        /// Not paired, and nothing is offered any more.
        case ended
    }

    var sender: String
    var state: State
    var qr: String?
    var expiresAt: Date?
    var reason: String?

    enum CodingKeys: String, CodingKey {
        case sender, state, qr, reason
        case expiresAt = "expires_at"
    }

    var isOver: Bool { state == .paired || state == .ended }

    init(_ sender: Sender, _ pairing: Pairing?) {
        self.sender = sender.id.description
        if let pairing {
            state = pairing.code == nil ? .waiting : .showing
            qr = pairing.code?.text
            expiresAt = pairing.code?.validUntil ?? pairing.expiresAt
        } else if sender.pairedAt != nil && Self.isLinked(sender.state) {
            state = .paired
        } else {
            state = .ended
            reason = sender.stateCode ?? Self.reason(sender.state)
        }
    }

    /// For a sender that was removed while somebody watched.
    init(removed sender: Sender.ID) {
        self.sender = sender.description
        state = .ended
        reason = SenderState.removed.rawValue
    }

    private static func reason(_ state: SenderState) -> String {
        switch state {
        case .unpaired: "not_requested"
        case .pairing: "pairing_expired"
        default: state.rawValue
        }
    }

    private static func isLinked(_ state: SenderState) -> Bool {
        switch state {
        case .connecting, .ready, .disconnected, .replaced, .temporarilyBanned, .clientOutdated, .parked: true
        case .unpaired, .pairing, .loggedOut, .removing, .removed: false
        }
    }
}
