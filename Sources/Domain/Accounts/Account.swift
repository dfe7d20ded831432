package import Foundation

/// A customer: what every other row belongs to.
package struct Account: Sendable, Identified {
    package typealias ID = TypedID<Account>
    package static let idPrefix = "acc"

    ///     active ─▶ closing ─▶ (no row any more)
    package enum State: String, Sendable, CaseIterable { case active, closing }

    package let id: ID
    package let name: String
    package let state: State
    /// Calling code used for national numbers, digits only; nil: E.164 only.
    package let defaultCallingCode: String?
    package let createdAt: Date
}
