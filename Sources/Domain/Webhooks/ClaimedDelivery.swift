package import Foundation

/// A delivery that this node is to send now, with all that is needed for it.
package struct ClaimedDelivery: Sendable {
    package let account: Account.ID
    package let endpoint: WebhookEndpoint.ID
    /// `webhook-id`: the same each time, to every endpoint.
    package let event: Event.ID
    package let type: EventType?
    package let url: String
    /// The current one, and for a while the one before.
    let secrets: [WebhookSecret]
    /// JSON, the exact bytes to sign and send.
    package let body: [UInt8]
    /// Numbers the attempts; the claim that comes after this one has a higher number.
    let attempt: Int
    /// The same since it was queued or replayed.
    let tries: Int

    /// The answer must have this in it; nil: any will do.
    package var challenge: String? { type == .endpointVerification ? event.description : nil }

    /// The three headers of Standard Webhooks, for an attempt at `moment`.
    package func headers(at moment: Date) -> [(name: String, value: String)] {
        let timestamp = Int(moment.timeIntervalSince1970.rounded(.down))
        let id = event.description
        return [
            ("webhook-id", id), ("webhook-timestamp", "\(timestamp)"),
            ("webhook-signature", secrets.map { $0.signature(id: id, timestamp: timestamp, body: body) }.joined(separator: " ")),
        ]
    }
}

/// An endpoint with something due, and one delivery's place in it.
package struct EndpointPlace: Hashable, Sendable {
    package let account: Account.ID
    package let endpoint: WebhookEndpoint.ID

    package init(account: Account.ID, endpoint: WebhookEndpoint.ID) {
        self.account = account
        self.endpoint = endpoint
    }
}

/// What came of an attempt.
package struct DeliveryReport: Sendable {
    package enum Ending: Sendable {
        /// - Parameters:
        ///   - wait: what `Retry-After` asked for, in seconds.
        ///   - hasChallenge: the answer has the challenge in it, if there was one.
        case answered(status: Int, wait: TimeInterval?, hasChallenge: Bool)
        /// No answer; the code is what customers may see.
        case failed(code: String)
        /// It was not tried after all, or given up because this node stops: somebody tries at once.
        case released
    }

    package let delivery: ClaimedDelivery
    package let startedAt: Date
    package let duration: Duration
    package let ending: Ending

    package init(_ delivery: ClaimedDelivery, _ ending: Ending, startedAt: Date, duration: Duration) {
        self.delivery = delivery
        self.ending = ending
        self.startedAt = startedAt
        self.duration = duration
    }
}
