package import Foundation

/// An ordered set of senders with a policy. Every account has a default pool from the first moment on.
package struct Pool: Sendable, Identified {
    package typealias ID = TypedID<Pool>
    package static let idPrefix = "pool"

    package struct Member: Sendable, Hashable {
        package let sender: Sender.ID
        /// 0…1000, for `weighted`.
        package let weight: Int
        /// Beginnings of numbers, digits without plus, for `prefix`; empty: every number.
        package let prefixes: [String]

        package init(_ sender: Sender.ID, weight: Int = 1, prefixes: [String] = []) {
            self.sender = sender
            self.weight = weight
            self.prefixes = prefixes
        }
    }

    package let id: ID
    package let account: Account.ID
    package let name: String
    package let policy: RoutingPolicy
    package let isDefault: Bool
    /// In the order of the pool.
    package let members: [Member]
    package let limits: SendingLimits
    package let createdAt: Date
}
