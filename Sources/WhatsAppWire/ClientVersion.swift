import Primitives

/// The version of the web client that we claim to be. The server refuses old ones (protocol.md 5.4).
package struct ClientVersion: Hashable, Sendable {
    package let primary: UInt32
    package let secondary: UInt32
    /// The client revision, the part that grows.
    package let tertiary: UInt32

    package init(_ primary: UInt32, _ secondary: UInt32, _ tertiary: UInt32) {
        self.primary = primary
        self.secondary = secondary
        self.tertiary = tertiary
    }

    /// Reads `a.b.c`; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let primary = UInt32(digits: parts[0]), let secondary = UInt32(digits: parts[1]),
            let tertiary = UInt32(digits: parts[2])
        else { return nil }
        self.init(primary, secondary, tertiary)
    }

    /// The version that was accepted when this was written (protocol.md 5.4). Expect it to go stale within months.
    package static let known = ClientVersion(2, 3000, 1_045_649_367)

    /// The hash of the version's text that registration carries.
    var buildHash: [UInt8] { Digest.md5(Array(description.utf8)) }
}

extension ClientVersion: CustomStringConvertible {
    package var description: String { "\(primary).\(secondary).\(tertiary)" }
}

extension ClientVersion: Comparable {
    package static func < (a: ClientVersion, b: ClientVersion) -> Bool {
        (a.primary, a.secondary, a.tertiary) < (b.primary, b.secondary, b.tertiary)
    }
}
