/// Turns a host's name into addresses. Nothing is vetted here; who asks does that, with each answer.
package protocol HostResolver: Sendable {
    /// All addresses, in the order in which they should be tried. Throws `dns_failed`, `timeout`, `overloaded` or `canceled`.
    /// Keeps the deadline itself.
    func addresses(of host: String, until deadline: ContinuousClock.Instant) async throws(OutboundFailure) -> [IPAddress]
}
