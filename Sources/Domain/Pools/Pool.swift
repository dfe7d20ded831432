package import Foundation

/// An ordered set of senders with a policy. Every account has a default pool from the first moment on.
package struct Pool: Sendable, Identified {
    package typealias ID = TypedID<Pool>
    package static let idPrefix = "pool"

    package let id: ID
    package let account: Account.ID
    package let name: String
    package let policy: RoutingPolicy
    package let isDefault: Bool
    /// In the order of the pool.
    package let members: [Sender.ID]
    package let createdAt: Date
}
