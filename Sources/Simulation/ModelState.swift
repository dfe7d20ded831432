/// The states of reliability.md §2.4, as small numbers; `name` is what the database stores.
package enum ModelState: Int, Sendable, CaseIterable {
    case scheduled, hold, accepted, prepared, onWire, sent, delivered, read, failed, expired, canceled, unconfirmed

    package var name: String {
        switch self {
        case .onWire: "on_wire"
        default: "\(self)"
        }
    }

    /// Nothing more will be sent.
    package var isSettled: Bool { rawValue >= ModelState.sent.rawValue }
    /// How far a message has got; nil off that way.
    var rank: Int? {
        switch self {
        case .scheduled, .hold: -1
        case .accepted: 0
        case .prepared: 1
        case .onWire: 2
        case .sent: 3
        case .delivered: 4
        case .read: 5
        case .failed, .expired, .canceled, .unconfirmed: nil
        }
    }
}

/// The twin of the database's two transition functions; a test compares every pair with them.
package enum ModelTransitions {
    /// `gateway_transition_allowed`: rows of the outbox.
    package static func outbox(_ old: ModelState, _ new: ModelState) -> Bool {
        switch old {
        case .scheduled: new == .accepted || new == .canceled || new == .expired || new == .failed
        case .hold: new == .accepted || new == .canceled || new == .expired
        case .accepted: new == .prepared || new == .canceled || new == .expired || new == .failed
        case .prepared: new == .accepted || new == .onWire || new == .canceled || new == .expired || new == .failed
        case .onWire:
            new == .onWire || new == .accepted || new == .sent || new == .delivered || new == .read || new == .failed || new == .unconfirmed
        case .sent, .unconfirmed: new == .delivered || new == .read
        case .delivered: new == .read
        case .read, .failed, .expired, .canceled: false
        }
    }

    /// `gateway_message_transition_allowed`: messages, which do not mirror `prepared`.
    package static func message(_ old: ModelState, _ new: ModelState) -> Bool {
        switch old {
        case .accepted: new == .onWire || new == .canceled || new == .expired || new == .failed
        case .prepared: false
        default: outbox(old, new)
        }
    }
}
