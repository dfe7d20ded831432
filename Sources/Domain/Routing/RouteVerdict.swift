/// What the router thinks of one sender: a stable code with a sentence and a way out. Closed list; `limited` is told apart by its `LimitCode`.
package enum RouteVerdict: String, Sendable, CaseIterable {
    /// It may send now.
    case eligible
    case demoted
    case anotherIsWarm = "another_is_warm"
    case lastResort = "weight_zero"
    case shorterPrefix = "shorter_prefix"
    // It cannot send now, but will by itself.
    case limited
    case connecting
    case disconnected
    case noNode = "no_node"
    case temporarilyBanned = "temporarily_banned"
    // A person has to do something before it can send.
    case unpaired
    case pairing
    case loggedOut = "logged_out"
    case replaced
    case clientOutdated = "client_outdated"
    case parked
    // It can never be chosen for this message.
    case wrongMode = "wrong_mode"
    case notAllowed = "not_allowed"
    case excluded
    case refused
    case otherPrefix = "other_prefix"
    case notInPool = "not_in_pool"
    case removing

    package var sentence: String {
        switch self {
        case .eligible: "It is connected and may send now."
        case .demoted: "It may send, but few receipts come back to it; others go first."
        case .anotherIsWarm: "It may send, but another sender has written to this recipient before."
        case .lastResort: "Its weight is 0: it sends only if nobody else may."
        case .shorterPrefix: "It may send, but another sender's prefix fits more digits of the number."
        case .limited: "A limit holds it back for the moment."
        case .connecting: "It is connecting and will be ready by itself."
        case .disconnected: "It is not connected at the moment and will come back by itself."
        case .noNode: "The node that held it has gone; another one takes it over within a minute."
        case .temporarilyBanned: SenderState.temporarilyBanned.sentence
        case .unpaired: SenderState.unpaired.sentence
        case .pairing: SenderState.pairing.sentence
        case .loggedOut: SenderState.loggedOut.sentence
        case .replaced: SenderState.replaced.sentence
        case .clientOutdated: SenderState.clientOutdated.sentence
        case .parked: SenderState.parked.sentence
        case .wrongMode: "Test keys send over test senders, live keys over live senders."
        case .notAllowed: "The API key may not use this sender."
        case .excluded: "The message was moved away from this sender."
        case .refused: "WhatsApp refused a first message from this sender to this recipient; it is not tried again."
        case .otherPrefix: "None of its prefixes fits the number."
        case .notInPool: "It is not a member of the pool."
        case .removing: SenderState.removing.sentence
        }
    }

    package var wayOut: String {
        switch self {
        case .eligible, .connecting, .disconnected, .noNode: "Nothing needs to be done."
        case .demoted: "Nothing needs to be done; it returns by itself when receipts come back."
        case .anotherIsWarm, .shorterPrefix: "Name this sender in the request if it must be this one."
        case .lastResort: "Give it a weight above 0."
        case .limited: "Wait, or change the limit."
        case .temporarilyBanned: SenderState.temporarilyBanned.wayOut
        case .unpaired: SenderState.unpaired.wayOut
        case .pairing: SenderState.pairing.wayOut
        case .loggedOut: SenderState.loggedOut.wayOut
        case .replaced: SenderState.replaced.wayOut
        case .clientOutdated: SenderState.clientOutdated.wayOut
        case .parked: SenderState.parked.wayOut
        case .wrongMode: "Use a key of the other kind, or a sender of this kind."
        case .notAllowed: "Use a key that may."
        case .excluded: "Send a new message."
        case .refused: "Let the recipient write first, or use another sender."
        case .otherPrefix: "Add a prefix, or a member without prefixes that takes the rest."
        case .notInPool: "Add it to the pool."
        case .removing: "Use another sender."
        }
    }

    /// In which group it stands when nobody may send now; nil: it can never be chosen.
    var standing: RouteStanding? {
        switch self {
        case .eligible, .demoted, .anotherIsWarm, .lastResort, .shorterPrefix: .now
        case .limited: .later
        case .connecting, .disconnected, .noNode, .temporarilyBanned: .unknown
        case .unpaired, .pairing, .loggedOut, .replaced, .clientOutdated, .parked: .needsAttention
        case .wrongMode, .notAllowed, .excluded, .refused, .otherPrefix, .notInPool, .removing: nil
        }
    }
}

/// When a sender may send a message, from best to worst. Only the best group that is not empty is chosen from.
enum RouteStanding: UInt8, Comparable {
    case now
    /// At a known time within the message's life.
    case later
    /// By itself, nobody knows when.
    case unknown
    /// At a known time, when the message will have expired.
    case tooLate
    /// When a person has done something.
    case needsAttention
    case never

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
