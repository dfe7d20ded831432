/// An absolute http or https URL, read strictly: what two parsers could read differently is refused, not repaired.
///
/// Not accepted: user names, fragments, anything but printable ASCII, backslashes, host names in Unicode or percent encoding (write `xn--…`),
/// numbers as hosts that are not plain dotted quads (`127.1`, `0x7f.1`, `2130706433`), ports 0 and above 65535, more than 2,048 characters.
/// One dot behind the host is dropped; scheme and host become lower case; an IPv4 address mapped into IPv6 becomes IPv4.
///
/// Its `description` is the origin alone: paths and queries carry tokens.
package struct OutboundURL: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    package enum Scheme: String, Sendable, CaseIterable {
        case http, https

        package var defaultPort: Int { self == .http ? 80 : 443 }
    }

    package enum Host: Hashable, Sendable, CustomStringConvertible {
        /// Lower case, at least one label, no dot at its end.
        case name(String)
        case address(IPAddress)

        package var description: String {
            switch self {
            case .name(let name): name
            case .address(let address): address.inURL
            }
        }
    }

    package static let maximumLength = 2_048

    package let scheme: Scheme
    package let host: Host
    package let port: Int
    /// Path and query as they go into the request line; begins with `/`. May hold secrets.
    package let target: String

    package init(_ text: String) throws(OutboundFailure) {
        guard text.utf8.count <= Self.maximumLength else { throw .invalidURL("the URL is longer than \(Self.maximumLength) characters") }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw .invalidURL("the URL has characters other than printable ASCII; host names are written in punycode, the rest percent-encoded")
        }
        guard !text.utf8.contains(where: Self.unwise.contains) else { throw .invalidURL("the URL has a character that must be percent-encoded") }
        guard !text.utf8.contains(UInt8(ascii: "#")) else { throw .invalidURL("the URL has a fragment") }
        guard let colon = text.firstIndex(of: ":"), let scheme = Scheme(rawValue: text[..<colon].lowercased()) else {
            throw .invalidURL("the URL does not begin with https:// or http://")
        }
        let rest = text[colon...].dropFirst()
        guard rest.hasPrefix("//") else { throw .invalidURL("the URL does not begin with https:// or http://") }
        let authority = rest.dropFirst(2).prefix { $0 != "/" && $0 != "?" }
        var target = String(rest.dropFirst(2)[authority.endIndex...])
        if !target.hasPrefix("/") { target = "/" + target }
        try Self.checkEscapes(target)
        self.scheme = scheme
        (host, port) = try Self.readAuthority(authority, scheme)
        self.target = target
    }

    /// The whole URL, for the wire. May hold secrets.
    package var text: String { description + target }

    /// Scheme, host, and the port if it is not the scheme's own.
    package var description: String { "\(scheme.rawValue)://\(host)" + (port == scheme.defaultPort ? "" : ":\(port)") }

    package var customMirror: Mirror { Mirror(self, children: ["origin": description]) }

    /// Same scheme, host and port.
    package func sharesOrigin(with other: OutboundURL) -> Bool { scheme == other.scheme && host == other.host && port == other.port }

    /// What a `Location` of a response from this URL means (RFC 3986 §5.2); its fragment is dropped. Dot segments are left to libcurl.
    package func following(location: String) throws(OutboundFailure) -> OutboundURL {
        let location = location.prefix { $0 != "#" }
        let path = target.prefix { $0 != "?" }
        if location.hasPrefix("//") { return try OutboundURL("\(scheme.rawValue):\(location)") }
        if location.hasPrefix("/") { return try OutboundURL(description + location) }
        if location.hasPrefix("?") { return try OutboundURL(description + path + location) }
        if let colon = location.firstIndex(of: ":"), !location[..<colon].contains(where: { "/?".contains($0) }) {
            return try OutboundURL(String(location))
        }
        guard !location.isEmpty, let slash = path.lastIndex(of: "/") else { throw .invalidURL("the Location is empty") }
        return try OutboundURL(description + path[...slash] + location)
    }

    // MARK: Parts

    private static let unwise = Set("\"<>\\^`{|}".utf8)

    private static func checkEscapes(_ target: String) throws(OutboundFailure) {
        let bytes = Array(target.utf8)
        for index in bytes.indices where bytes[index] == UInt8(ascii: "%") {
            guard index + 2 < bytes.count, isHex(bytes[index + 1]), isHex(bytes[index + 2]) else {
                throw .invalidURL("the URL has a % that is not followed by two hexadecimal digits")
            }
        }
    }

    private static func readAuthority(_ authority: Substring, _ scheme: Scheme) throws(OutboundFailure) -> (Host, Int) {
        guard !authority.contains("@") else { throw .invalidURL("the URL has a user name") }
        let host: Host
        let rest: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw .invalidURL("the address has no closing bracket") }
            let inside = authority[..<end].dropFirst()
            guard inside.contains(":"), let address = IPAddress(inside) else { throw .invalidURL("the text in brackets is no IPv6 address") }
            host = .address(address)
            rest = authority[end...].dropFirst()
        } else {
            let name = authority.prefix { $0 != ":" }
            host = try readName(name.lowercased())
            rest = authority[name.endIndex...]
        }
        guard !rest.isEmpty else { return (host, scheme.defaultPort) }
        let digits = rest.dropFirst()
        guard rest.first == ":", (1...5).contains(digits.utf8.count), digits.first != "0", digits.utf8.allSatisfy(isDigit),
            let port = Int(digits), port <= 65_535
        else { throw .invalidURL("the port is not a number from 1 to 65535") }
        return (host, port)
    }

    private static func readName(_ text: String) throws(OutboundFailure) -> Host {
        let name = text.hasSuffix(".") ? String(text.dropLast()) : text
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard !name.isEmpty, name.utf8.count <= 253, labels.allSatisfy({ isLabel($0) }), let last = labels.last else {
            throw .invalidURL("the host is no host name")
        }
        // WHATWG URL, "ends in a number": such a host is an address, in one of the many ways that C libraries read addresses.
        let isNumber = last.utf8.allSatisfy(isDigit) || (last.hasPrefix("0x") && last.utf8.dropFirst(2).allSatisfy(isHex))
        guard isNumber else { return .name(name) }
        guard !text.hasSuffix("."), let address = IPAddress(name) else { throw .invalidURL("the host is a number but no plain IPv4 address") }
        return .address(address)
    }

    /// RFC 1123 §2.1, and the underscore that some names in use have.
    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
            && label.utf8.allSatisfy { isDigit($0) || (0x61...0x7a).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x66).contains(byte | 0x20) }
}
