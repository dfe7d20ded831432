/// Where bytes may go. Asked for every hop of every request, and before it connects; whoever opens a socket of his own (WhatsApp's) asks it too:
///
///     try policy.check(url)
///     let addresses = try policy.vet(try await resolver.addresses(of: host, until: deadline), of: host)
///     // …connect to one of `addresses`, never to the name
///
/// A policy is a value of the client, not of the request: two kinds of trust are two clients, so a connection is never shared between them.
package struct EgressPolicy: Hashable, Sendable {
    /// Public hosts over https.
    package static let `public` = EgressPolicy()

    /// Also the operator's own networks, and http if asked for. Cloud metadata addresses stay forbidden whatever the networks say.
    package static func allowing(networks: [IPNetwork], schemes: Set<OutboundURL.Scheme> = [.https]) -> EgressPolicy {
        EgressPolicy(schemes: schemes, networks: networks)
    }

    package let schemes: Set<OutboundURL.Scheme>
    /// Reachable besides the public addresses.
    package let networks: [IPNetwork]

    private init(schemes: Set<OutboundURL.Scheme> = [.https], networks: [IPNetwork] = []) {
        self.schemes = schemes
        self.networks = networks
    }

    /// The scheme, the port, and the host if it is an address.
    ///
    /// Ports: the scheme's own, and 1024 to 65535, where people run their services. Below that live mail, shells and file servers, which must
    /// not be talked to in the name of an HTTP request.
    package func check(_ url: OutboundURL) throws(OutboundFailure) {
        guard schemes.contains(url.scheme) else {
            throw OutboundFailure(.schemeForbidden, "\(url.scheme.rawValue) is not allowed here", isTransient: false)
        }
        guard url.port == url.scheme.defaultPort || url.port >= 1_024 else {
            throw OutboundFailure(.portForbidden, "port \(url.port) is not allowed", isTransient: false)
        }
        if case .address(let address) = url.host { try vet([address], of: "the host") }
    }

    /// All of them, or a failure if one is forbidden: a name that leads to both kinds is an attack or a mistake.
    @discardableResult
    package func vet(_ addresses: [IPAddress], of host: String) throws(OutboundFailure) -> [IPAddress] {
        guard !addresses.isEmpty else { throw OutboundFailure(.dnsFailed, "\(host) has no address", isTransient: true) }
        for address in addresses {
            guard let reason = refusal(of: address) else { continue }
            // Transient: the name may lead elsewhere tomorrow. The address itself stays in here.
            throw OutboundFailure(.addressForbidden, "\(host) leads to an address that is not allowed (\(reason))", isTransient: true)
        }
        return addresses
    }

    package func permits(_ address: IPAddress) -> Bool { refusal(of: address) == nil }

    private func refusal(of address: IPAddress) -> String? {
        guard let reason = SpecialAddresses.reason(address) else { return nil }
        if SpecialAddresses.isMetadata(address) { return reason }
        return networks.contains { $0.contains(address) } ? nil : reason
    }
}
