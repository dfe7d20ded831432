/// Where a message stands inside the gateway. The raw value is what the database stores and its trigger checks.
///
///     scheduled ─▶ accepted ⇄ prepared ─▶ on_wire ─▶ sent ─▶ delivered ─▶ read
///     hold ────────▶ │          │          │  ▲ resend, same wire id
///                    ▼          ▼          ▼
///         canceled, expired, failed     unconfirmed, failed
///
/// Moves right or down. `prepared` stands in the queue alone (a message's own row goes from accepted to on_wire) and goes back only while nothing has
/// left; `on_wire` goes back to `accepted` only after the server's refusal.
/// A receipt may lift `on_wire`, `sent` and `unconfirmed`. A late `delivered` after `read` changes nothing.
package enum MessageState: String, Sendable, CaseIterable {
    case scheduled, hold, accepted, prepared, onWire = "on_wire", sent, delivered, read, failed, expired, canceled, unconfirmed

    /// What the API shows.
    package var status: MessageStatus {
        switch self {
        case .scheduled, .hold: .scheduled
        case .accepted, .prepared: .queued
        case .onWire: .sending
        case .sent: .sent
        case .delivered: .delivered
        case .read: .read
        case .failed: .failed
        case .expired: .expired
        case .canceled: .canceled
        case .unconfirmed: .unconfirmed
        }
    }
}

/// The public states.
package enum MessageStatus: String, Sendable, CaseIterable {
    case scheduled, queued, sending, sent, delivered, read, failed, expired, canceled, unconfirmed

    /// Nothing more will be sent; a receipt may still lift `sent` and `unconfirmed`.
    package var isSettled: Bool {
        switch self {
        case .scheduled, .queued, .sending: false
        case .sent, .delivered, .read, .failed, .expired, .canceled, .unconfirmed: true
        }
    }

    /// The internal states behind it.
    package var states: [MessageState] { MessageState.allCases.filter { $0.status == self } }
}
