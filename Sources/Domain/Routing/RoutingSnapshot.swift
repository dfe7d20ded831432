package import Foundation

/// What a routing decision sees: an account's senders and pools at one moment, at most a second old. A value, so that the same snapshot
/// gives the same answer to accept, to a later move, and to `explain`.
package struct RoutingSnapshot: Sendable {
    package struct Candidate: Sendable {
        package let sender: Sender.ID
        package let label: String
        package let isTest: Bool
        package let state: SenderState

        package init(sender: Sender.ID, label: String, isTest: Bool, state: SenderState) {
            self.sender = sender
            self.label = label
            self.isTest = isTest
            self.state = state
        }
    }

    package struct PoolMembers: Sendable {
        package let id: Pool.ID
        package let policy: RoutingPolicy
        /// In the order of the pool.
        package let members: [Sender.ID]
        package let isDefault: Bool

        package init(id: Pool.ID, policy: RoutingPolicy, members: [Sender.ID], isDefault: Bool) {
            self.id = id
            self.policy = policy
            self.members = members
            self.isDefault = isDefault
        }
    }

    package let candidates: [Sender.ID: Candidate]
    package let pools: [PoolMembers]
    package let takenAt: Date

    package init(candidates: [Candidate], pools: [PoolMembers], takenAt: Date) {
        self.candidates = Dictionary(candidates.map { ($0.sender, $0) }, uniquingKeysWith: { first, _ in first })
        self.pools = pools
        self.takenAt = takenAt
    }
}
