/// Why bytes on the wire were refused, or could not be made. Nothing in it comes from a peer: it is safe to log.
package struct WireError: Error, Hashable, Sendable {
    /// Stable, and safe as a metric label.
    package enum Code: String, Hashable, Sendable, CaseIterable {
        /// The bytes break the format.
        case malformed
        /// The format is kept, but something is longer, deeper or more numerous than we accept.
        case limitExceeded
        /// A Noise message came out of order, incomplete or with a wrong key.
        case handshake
        /// The server's certificate chain does not prove its static key.
        case certificate
        /// A pairing message does not verify.
        case pairing
        /// The padding of a decrypted message is wrong.
        case padding
        /// A media key, file or hash does not fit.
        case media
        /// An authentication tag does not match.
        case authenticationFailed
        /// Well-formed, but of a kind this gateway does not speak.
        case unsupported
    }

    package let code: Code
    /// What exactly, in a few constant words for the log.
    package let detail: String

    package init(_ code: Code, _ detail: String = "") {
        self.code = code
        self.detail = detail
    }
}

extension WireError: CustomStringConvertible {
    package var description: String { detail.isEmpty ? code.rawValue : "\(code.rawValue): \(detail)" }
}
