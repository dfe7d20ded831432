package import Foundation

/// Proof that an account is gone: a random id and counts, nothing that leads back to it.
package struct DeletionReceipt: Sendable, Identified {
    package typealias ID = TypedID<DeletionReceipt>
    package static let idPrefix = "del"

    package let id: ID
    package let requestedAt: Date
    package let completedAt: Date
    /// From then on no backup can be read for this account: the key-encryption key of its time is destroyed.
    package let backupsUnreadableAt: Date
    /// Rows that were deleted, by table.
    package let counts: [String: Int]
}
