package import Foundation

/// One event on its way to one endpoint, or what became of it.
package struct WebhookDelivery: Sendable {
    ///     pending ─▶ delivered
    ///        └─────▶ dead            a replay makes both pending again
    package enum State: String, Sendable, CaseIterable { case pending, delivered, dead }

    package struct Attempt: Sendable {
        package let number: Int
        package let at: Date
        /// In milliseconds.
        package let duration: Int
        /// HTTP status; nil: there was no answer.
        package let status: Int?
        /// Why it was no success; nil for a success, and for an answer whose status says it all.
        package let code: String?
    }

    package let event: Event.ID
    package let type: String
    package let state: State
    /// When it is tried next; nil: not again by itself.
    package let nextAt: Date?
    package let createdAt: Date
    package let finishedAt: Date?
    /// Why it is dead, or why it was no success last time.
    package let code: String?
    /// Oldest first.
    package let attempts: [Attempt]
}
