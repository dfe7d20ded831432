/// A network in CIDR form, such as `10.0.0.0/8` or `fd00::/8`.
package struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
    package let base: IPAddress
    /// How many leading bits an address must share with `base`.
    package let length: Int

    /// An address alone is a network of one. Nil if it is no address, the length does not fit, or bits behind the length are set:
    /// `10.0.0.1/8` is more likely a mistake than a wish.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let base = IPAddress(parts[0]) else { return nil }
        let width: Int
        switch base {
        case .v4: width = 32
        case .v6: width = 128
        }
        var length = width
        if parts.count == 2 {
            guard let number = Int(parts[1]), (0...width).contains(number), parts[1] == "\(number)" else { return nil }
            length = number
        }
        self.base = base
        self.length = length
        guard contains(base), Self.bits(base) & ~Self.mask(length, of: width) == 0 else { return nil }
    }

    package func contains(_ address: IPAddress) -> Bool {
        switch (base, address) {
        case (.v4, .v4): (Self.bits(base) ^ Self.bits(address)) & Self.mask(length, of: 32) == 0
        case (.v6, .v6): (Self.bits(base) ^ Self.bits(address)) & Self.mask(length, of: 128) == 0
        default: false
        }
    }

    package var description: String { "\(base)/\(length)" }

    private static func bits(_ address: IPAddress) -> UInt128 {
        switch address {
        case .v4(let bits): UInt128(bits)
        case .v6(let bits): bits
        }
    }

    private static func mask(_ length: Int, of width: Int) -> UInt128 {
        let all: UInt128 = width == 32 ? 0xffff_ffff : .max
        return length == 0 ? 0 : (all << UInt128(width - length)) & all
    }
}
