import Glibc

/// An IPv4 or IPv6 address. Two texts of the same address are equal; an IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2)
/// **is** the IPv4 address, so that no rule can be passed by writing it differently.
package enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    case v4(UInt32)
    case v6(UInt128)

    /// Four decimal octets without leading zeros, or RFC 4291 text without brackets or zone; nil otherwise. `127.1` or `0x7f.0.0.1` are none.
    package init?(_ text: some StringProtocol) {
        let text = String(text)
        guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
        var v4 = in_addr()
        var v6 = in6_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            self = .v4(UInt32(bigEndian: v4.s_addr))
        } else if inet_pton(AF_INET6, text, &v6) == 1 {
            self.init(v6: withUnsafeBytes(of: v6) { $0.loadUnaligned(as: UInt128.self).bigEndian })
        } else {
            return nil
        }
    }

    /// From 128 bits in host order; what is mapped becomes IPv4.
    package init(v6 bits: UInt128) {
        self = bits >> 32 == 0xffff ? .v4(UInt32(truncatingIfNeeded: bits)) : .v6(bits)
    }

    /// From a C socket address and its length; the port beside it. Nil for other families.
    static func read(_ address: UnsafeRawPointer, length: Int) -> (address: IPAddress, port: Int)? {
        guard length >= MemoryLayout<sa_family_t>.size else { return nil }
        switch Int32(address.loadUnaligned(as: sa_family_t.self)) {
        case AF_INET where length >= MemoryLayout<sockaddr_in>.size:
            let socket = address.loadUnaligned(as: sockaddr_in.self)
            return (.v4(UInt32(bigEndian: socket.sin_addr.s_addr)), Int(UInt16(bigEndian: socket.sin_port)))
        case AF_INET6 where length >= MemoryLayout<sockaddr_in6>.size:
            let socket = address.loadUnaligned(as: sockaddr_in6.self)
            let bits = withUnsafeBytes(of: socket.sin6_addr) { $0.loadUnaligned(as: UInt128.self).bigEndian }
            return (IPAddress(v6: bits), Int(UInt16(bigEndian: socket.sin6_port)))
        default: return nil
        }
    }

    package var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch self {
        case .v4(let bits):
            var raw = in_addr(s_addr: bits.bigEndian)
            inet_ntop(AF_INET, &raw, &text, socklen_t(text.count))
        case .v6(let bits):
            var raw = bits.bigEndian
            inet_ntop(AF_INET6, &raw, &text, socklen_t(text.count))
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// As in a URL or before a port: IPv6 in brackets.
    package var inURL: String {
        switch self {
        case .v4: description
        case .v6: "[\(description)]"
        }
    }
}
