/// One exchange with one address, all decisions made: what the event thread is given.
struct TransferOrder: Sendable {
    var request: OutboundRequest
    /// The vetted address that the request goes to.
    var address: IPAddress
    /// The vetted address of the proxy, if there is one. Then this is the address that a connection is made to.
    var proxy: (address: IPAddress, port: Int, credentials: OutboundProxy.Credentials?)?
    var connectDeadline: Duration
    var connectionRest: Duration
    var bodyLimit: Int
    var headerLimit: Int
    var began: ContinuousClock.Instant
    var deadline: ContinuousClock.Instant
    var userAgent: String
    var certificateFile: String?

    /// Requests of one lane share the cap per host.
    var lane: String { request.url.description }

    /// The only peer that a socket may be opened to.
    var peer: (address: IPAddress, port: Int) { proxy.map { ($0.address, $0.port) } ?? (address, request.url.port) }
}

/// A transfer that was asked for: its order, and who waits.
struct Submission: Sendable {
    var id: UInt64
    var order: TransferOrder
    var continuation: CheckedContinuation<Result<OutboundResponse, OutboundFailure>, Never>
}
