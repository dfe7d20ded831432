package import Foundation

/// A number that sends for an account.
package struct Sender: Sendable, Identified {
    package typealias ID = TypedID<Sender>
    package static let idPrefix = "snd"

    package let id: ID
    package let account: Account.ID
    package let label: String
    /// Speaks to the simulator only, and serves test keys only.
    package let isTest: Bool
    package let state: SenderState
    /// A stable code that says more than the state, such as a disconnect reason; never a number.
    package let stateCode: String?
    package let stateSince: Date
    /// Its own number, known after pairing.
    package let number: E164?
    package let createdAt: Date
    package let pairedAt: Date?
    package var limits = SendingLimits.standard
    package var health = SenderHealth.well

    /// Where it stands, all things taken together.
    package func condition(at now: Date) -> SenderCondition { SenderCondition(state, health, now: now) }
}

/// A sender whose lease this process holds, under that epoch. Every write on its behalf names it.
package struct OwnedSender: Hashable, Sendable {
    package let account: Account.ID
    package let sender: Sender.ID
    package let epoch: Int64

    package init(account: Account.ID, sender: Sender.ID, epoch: Int64) {
        self.account = account
        self.sender = sender
        self.epoch = epoch
    }
}
