/// Which addresses are no public host: the special-purpose registries of IANA (RFC 6890 and its updates), and what clouds keep there.
enum SpecialAddresses {
    /// Why this address is nobody's public server; nil if it may be one.
    static func reason(_ address: IPAddress) -> String? {
        if metadata.contains(address) { return "cloud metadata" }
        switch address {
        case .v4:
            return v4.first { $0.network.contains(address) }?.reason
        case .v6(let bits):
            // RFC 6052 §2.1: the address that a NAT64 will really connect to.
            if bits >> 32 == nat64 >> 32 { return reason(.v4(UInt32(truncatingIfNeeded: bits))) }
            return v6.first { $0.network.contains(address) }?.reason ?? (bits >> 125 == 1 ? nil : "not global unicast")
        }
    }

    /// These stay forbidden even when the operator allows the network around them.
    static func isMetadata(_ address: IPAddress) -> Bool {
        guard case .v6(let bits) = address, bits >> 32 == nat64 >> 32 else { return metadata.contains(address) }
        return metadata.contains(.v4(UInt32(truncatingIfNeeded: bits)))
    }

    /// 64:ff9b::/96, the well-known prefix.
    private static let nat64: UInt128 = 0x0064_ff9b << 96

    /// AWS, Azure, Google, and most others; AWS over IPv6; AWS task credentials; Alibaba; Oracle's.
    private static let metadata: Set<IPAddress> = Set(
        ["169.254.169.254", "fd00:ec2::254", "169.254.170.2", "100.100.100.200", "192.0.0.192"].compactMap { IPAddress($0) })

    private static let v4 = table([
        ("0.0.0.0/8", "unspecified"),  // RFC 1122 §3.2.1.3; Linux takes 0.0.0.0 for this host
        ("10.0.0.0/8", "private"), ("172.16.0.0/12", "private"), ("192.168.0.0/16", "private"),  // RFC 1918
        ("100.64.0.0/10", "carrier-grade NAT"),  // RFC 6598
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),  // RFC 3927
        ("192.0.0.0/24", "protocol assignment"),  // RFC 6890 §2.1
        ("192.0.2.0/24", "documentation"), ("198.51.100.0/24", "documentation"), ("203.0.113.0/24", "documentation"),  // RFC 5737
        ("192.88.99.0/24", "6to4 relay"),  // RFC 7526
        ("198.18.0.0/15", "benchmarking"),  // RFC 2544
        ("224.0.0.0/4", "multicast"), ("240.0.0.0/4", "reserved"),  // with the broadcast address
    ])

    /// IPv6 names its public hosts by one prefix, 2000::/3 (RFC 4291 §2.4). The first rows only give better words, the last are inside it.
    private static let v6 = table([
        ("::/128", "unspecified"), ("::1/128", "loopback"), ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),  // RFC 8215
        ("100::/64", "discard"),  // RFC 6666
        ("fc00::/7", "unique local"), ("fe80::/10", "link-local"), ("fec0::/10", "site-local"), ("ff00::/8", "multicast"),
        ("5f00::/16", "segment routing"),  // RFC 9602
        ("2001::/32", "Teredo"), ("2001::/23", "protocol assignment"),  // RFC 4380; RFC 2928: benchmarking, ORCHID
        ("2001:db8::/32", "documentation"), ("3fff::/20", "documentation"),  // RFC 3849, RFC 9637
        ("2002::/16", "6to4"),  // RFC 3056: leads to any IPv4 address, and nobody needs it
    ])

    private static func table(_ rows: [(String, String)]) -> [(network: IPNetwork, reason: String)] {
        rows.compactMap { row in IPNetwork(row.0).map { ($0, row.1) } }
    }
}
