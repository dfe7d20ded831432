/// An HTTP proxy that everything of a client goes through, by CONNECT, plain http too. Only what is configured here counts: the
/// environment's proxy variables are not read.
///
/// The destination is still looked up and vetted by us, and the proxy is told the vetted address, not the name. So a proxy cannot be led
/// to another place by DNS, and one that only it can resolve does not work.
package struct OutboundProxy: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    package let host: OutboundURL.Host
    package let port: Int
    /// Where the proxy itself may be; its port may be any.
    package let policy: EgressPolicy
    let credentials: Credentials?

    struct Credentials: Hashable, Sendable {
        let user: String
        let password: String
    }

    /// - Parameter host: a name or an address, IPv6 in brackets.
    package init(
        host: String, port: Int, user: String? = nil, password: String = "", policy: EgressPolicy = .public
    ) throws(OutboundFailure) {
        let url = try OutboundURL("http://\(host):\(port)")
        guard url.target == "/", url.port == port else { throw .invalidURL("the proxy is not a host and a port") }
        for text in [user ?? "", password] {
            guard text.utf8.count <= 255, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }), text != user || !text.contains(":") else {
                throw .invalidRequest("the proxy's user or password has forbidden characters")
            }
        }
        self.host = url.host
        self.port = url.port
        self.policy = policy
        credentials = user.map { Credentials(user: $0, password: password) }
    }

    package var description: String { "\(host):\(port)" }
    package var customMirror: Mirror { Mirror(self, children: ["proxy": description]) }
}
