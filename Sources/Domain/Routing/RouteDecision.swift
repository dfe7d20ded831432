package import Foundation

/// The router's answer: accept stores it, `explain` shows it.
package struct RouteDecision: Sendable {
    /// One sender that was weighed; only `explain` lists them.
    package struct Considered: Sendable {
        package let sender: Sender.ID
        package let label: String
        package let verdict: RouteVerdict
        /// Which limit, with the verdict `limited`; also with others that a limit was told of.
        package let limitedBy: LimitCode?
        /// When it may send this message; nil: nobody knows, or never.
        package let availableAt: Date?
        package let isChosen: Bool

        /// A stable code: the verdict's, or the limit's.
        package var code: String { limitedBy?.rawValue ?? verdict.rawValue }
        package var sentence: String { limitedBy?.sentence ?? verdict.sentence }
        package var wayOut: String { limitedBy?.wayOut ?? verdict.wayOut }
    }

    /// Why nobody was chosen.
    package enum Failure: String, Sendable, CaseIterable {
        case noSender, senderNotFound, senderNotAllowed, poolNotFound
        /// Somebody may later, and the message would not wait.
        case nobodyNow
    }

    /// nil: see `failure`.
    package let sender: Sender.ID?
    package let label: String
    package let policy: RoutingPolicy
    package let pool: Pool.ID?
    package let failure: Failure?
    /// When the sender may send: the moment that was asked about, later, or nil when nobody knows. Without a sender: when the first one may.
    package let availableAt: Date?
    /// When the message will probably leave, what waits before it included.
    package let estimatedSendAt: Date?
    /// What keeps it from leaving at once; nil: nothing, or no limit.
    package let limitedBy: LimitCode?
    /// The sender has written to the recipient before.
    package let isWarm: Bool
    /// How many the choice was among, and how many were weighed.
    let choices: (among: Int, of: Int)
    /// Every sender of the account in the order of the pool; empty unless explained.
    package let considered: [Considered]

    /// One sentence or two; holds no number and no name.
    package var reason: String {
        switch failure {
        case .noSender: return policy == .explicit ? "The named sender may not send this message." : "No sender of the pool may send this message."
        case .senderNotFound: return "There is no such sender."
        case .senderNotAllowed:
            return policy == .explicit ? RouteVerdict.notAllowed.sentence : "The API key may use no sender of the pool."
        case .poolNotFound: return "There is no such pool."
        case .nobodyNow: return "Nobody may send the message now, and it was not to wait."
        case nil: break
        }
        var reason = policy == .explicit ? "The request named this sender." : "\(policy.sentence) \(choices.among) of \(choices.of) senders."
        if isWarm, policy != .explicit { reason += " It has written to this recipient before." }
        if isWaiting {
            reason += policy == .explicit ? " It cannot send now; the message waits." : " None can send now; the message waits for this one."
        }
        return reason
    }

    /// The chosen sender cannot send at the moment that was asked about.
    package let isWaiting: Bool
}
