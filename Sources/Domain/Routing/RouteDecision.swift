/// What is asked of the router: everything about the message that a policy may look at.
package struct RouteQuestion: Sendable {
    package let request: RouteRequest
    package let isTest: Bool
    /// nil: every sender.
    package let allowedSenders: Set<Sender.ID>?
    /// Counts up with each question per pool; `round_robin` turns by it.
    package let turn: UInt64

    package init(request: RouteRequest, isTest: Bool, allowedSenders: Set<Sender.ID>?, turn: UInt64) {
        self.request = request
        self.isTest = isTest
        self.allowedSenders = allowedSenders
        self.turn = turn
    }
}

/// What the router thinks of one sender: a stable code with a sentence.
package enum RouteVerdict: String, Sendable, CaseIterable {
    /// It can send now.
    case eligible
    /// It cannot send now, but may soon by itself.
    case waiting
    /// A person has to do something before it can send.
    case needsAttention = "needs_attention"
    case wrongMode = "wrong_mode"
    case notAllowed = "not_allowed"
    case notInPool = "not_in_pool"
    case removing

    package var sentence: String {
        switch self {
        case .eligible: "It is connected and may send now."
        case .waiting: "It is not connected at the moment and will come back by itself."
        case .needsAttention: "It cannot send until somebody pairs it or resumes it."
        case .wrongMode: "Test keys send over test senders, live keys over live senders."
        case .notAllowed: "The API key may not use this sender."
        case .notInPool: "It is not a member of the pool."
        case .removing: "It is being removed."
        }
    }

    /// Lower is better; nil can never be chosen.
    var rank: Int? {
        switch self {
        case .eligible: 0
        case .waiting: 1
        case .needsAttention: 2
        case .wrongMode, .notAllowed, .notInPool, .removing: nil
        }
    }
}

/// The answer, with everything that was weighed: accept stores it, `explain` shows it.
package struct RouteDecision: Sendable {
    package struct Considered: Sendable {
        package let sender: Sender.ID
        package let label: String
        package let verdict: RouteVerdict
    }

    /// Why nobody was chosen.
    package enum Failure: String, Sendable, CaseIterable { case noSender, senderNotFound, senderNotAllowed, poolNotFound }

    /// nil: see `failure`.
    package let sender: Sender.ID?
    package let policy: RoutingPolicy
    package let pool: Pool.ID?
    /// One sentence; holds no number and no name.
    package let reason: String
    /// In the order they were looked at.
    package let considered: [Considered]
    package let failure: Failure?
}
