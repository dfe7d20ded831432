package import Foundation

/// Where an account wants its events posted to.
package struct WebhookEndpoint: Sendable, Identified {
    package typealias ID = TypedID<WebhookEndpoint>
    package static let idPrefix = "whk"

    ///     verifying ─▶ enabled ─▶ disabled
    ///         ▲ └──────────────────▶ │
    ///         └──────────────────────┘
    ///
    /// Only an answer with the challenge in it makes an endpoint enabled, after its creation, a new URL, or being disabled.
    package enum State: String, Sendable, CaseIterable { case verifying, enabled, disabled }

    package enum DisabledReason: String, Sendable, CaseIterable {
        /// By the account.
        case requested
        /// It answered 410.
        case gone
        /// It failed for 120 hours without a success.
        case failing
        /// It never answered with the challenge.
        case unverified
    }

    package let id: ID
    package let account: Account.ID
    /// Gets events of test things; otherwise events of all others.
    package let isTest: Bool
    package let state: State
    /// nil unless it is disabled.
    package let disabledReason: DisabledReason?
    package let url: String
    package let description: String
    /// nil: all, those of later versions too.
    package let types: [EventType]?
    /// Message events have the recipient's number in them.
    package let includesRecipient: Bool
    package let signing: WebhookSecret.Signing
    /// `whpk_…`; nil for symmetric signing.
    package let publicKey: String?
    /// Until when the secret before this one signs too.
    package let previousUntil: Date?
    /// nil: its last attempt succeeded, or there was none.
    package let failingSince: Date?
    package let createdAt: Date
}

/// Which URLs may be endpoints: decided by the room that will send to them, which looks again each time.
package struct WebhookURLRule: Sendable {
    /// No URL may. The default, so that nothing is accepted that nobody has vetted.
    package static let none = WebhookURLRule { _ in "is not accepted: this gateway sends no webhooks" }

    /// A sentence about what is wrong; nil: nothing.
    let problem: @Sendable (String) -> String?

    package init(_ problem: @escaping @Sendable (String) -> String?) { self.problem = problem }
}

/// An endpoint that cannot be meant: every problem at once.
package struct InvalidEndpoint: Error, Sendable, Hashable {
    package let problems: [SettingsProblem]
}
