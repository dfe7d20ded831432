import Foundation
package import OutboundHTTP

/// The address of an API that the operator named, and what a client that talks to it may reach: public hosts over https, or this machine alone.
package struct AlertEndpoint: Sendable {
    package let base: OutboundURL
    package let policy: EgressPolicy

    /// - Parameter text: such as `https://api.telegram.org`; its path is kept, a slash at its end is not. Plain http only to loopback, given as an
    ///   address or as `localhost`.
    /// - Throws: `invalidURL`, `schemeForbidden`, `portForbidden`, `addressForbidden`.
    package init(_ text: String) throws(OutboundFailure) {
        let url = try OutboundURL(text.hasSuffix("/") ? String(text.dropLast()) : text)
        guard !url.target.contains("?") else { throw OutboundFailure(.invalidURL, "the base URL has a query", isTransient: false) }
        base = url
        policy = Self.isLoopback(url.host) ? .allowing(networks: Self.loopback, schemes: [url.scheme]) : .public
        try policy.check(url)
    }

    /// The address of one method. `path` begins with a slash and may hold secrets.
    func url(_ path: String) throws(OutboundFailure) -> OutboundURL {
        try OutboundURL(base.description + (base.target == "/" ? "" : base.target) + path)
    }

    private static let loopback = ["127.0.0.0/8", "::1/128"].compactMap { IPNetwork($0) }

    private static func isLoopback(_ host: OutboundURL.Host) -> Bool {
        switch host {
        case .name(let name): name == "localhost"
        case .address(let address): loopback.contains { $0.contains(address) }
        }
    }
}
