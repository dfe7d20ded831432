/// How a pool picks among the senders that may send now. The raw value is stored and shown.
package enum RoutingPolicy: String, Sendable, CaseIterable {
    /// The same recipient hears from the same sender; one sender's loss moves only its own people.
    case sticky
    /// One after the other, in the order of the pool.
    case roundRobin = "round_robin"
    /// By chance, in proportion to the members' weights; weight 0 only if nobody else may.
    case weighted
    /// The one with the fewest messages queued and in flight.
    case leastBusy = "least_busy"
    /// The first in the order of the pool.
    case priority
    /// By chance.
    case random
    /// The one whose prefix fits most digits of the number.
    case prefix
    /// The caller named the sender; no choice was made.
    case explicit

    /// The ones that a pool can have.
    package static let ofPools: [RoutingPolicy] = allCases.filter { $0 != .explicit }

    /// How it chose, for `RouteDecision.reason`.
    var sentence: String {
        switch self {
        case .sticky: "The recipient's own sender among"
        case .roundRobin: "Chosen in turn among"
        case .weighted: "Drawn by weight among"
        case .leastBusy: "The least busy of"
        case .priority: "The first in the pool's order of"
        case .random: "Drawn by chance among"
        case .prefix: "The one whose prefix fits best of"
        case .explicit: "Named by the request, one of"
        }
    }
}
