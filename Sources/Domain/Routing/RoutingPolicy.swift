/// How a pool picks among the senders that may send now. The raw value is stored and shown.
package enum RoutingPolicy: String, Sendable, CaseIterable {
    /// One after the other, in the order of the pool.
    case roundRobin = "round_robin"
    /// The caller named the sender; no choice was made.
    case explicit
}
