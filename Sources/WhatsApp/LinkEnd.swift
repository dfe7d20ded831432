import WhatsAppWire

/// Why a connection ended, as far as it is known; the first reason given stands.
enum LinkEnd: Hashable, Sendable {
    /// The server closed, or the network did.
    case closed
    case dialFailed(code: String)
    /// Noise, certificate or framing failed on our side.
    case handshakeFailed(code: String)
    case handshakeTimeout
    /// A frame did not decrypt, or the stream cannot be cut into frames any more.
    case corruptStream
    case streamError(code: Int?, conflict: String?)
    case failure(reason: Int?, code: Int?, expire: Int?)
    /// Two pings went unanswered.
    case keepaliveLost
    /// A message was not acknowledged in time on a live socket.
    case ackStalled
    /// A step of the login was refused or not answered.
    case loginFailed
    case storeFailed
    /// All QR codes of this connection were shown.
    case codesUsedUp
    /// The account demands a passkey for linking (protocol.md 6.6).
    case passkeyRequired
    /// The pairing was refused by us; `code` says why.
    case pairingRefused(code: String)
    /// Paired; the connection restarts with the login payload.
    case paired
    case loggedOut
    case stopped

    /// Stable, and safe as a metric label.
    var code: String {
        switch self {
        case .closed: "closed"
        case .dialFailed(let code): "dial_" + code
        case .handshakeFailed(let code): "handshake_" + code
        case .handshakeTimeout: "handshake_timeout"
        case .corruptStream: "corrupt_stream"
        case .streamError(_, "replaced"): "replaced"
        case .streamError(_, "device_removed"): "device_removed"
        case .streamError(let code, _): "stream_error_\(code.map(String.init) ?? "none")"
        case .failure(let reason, _, _): "failure_\(reason.map(String.init) ?? "none")"
        case .keepaliveLost: "keepalive_lost"
        case .ackStalled: "ack_stalled"
        case .loginFailed: "login_failed"
        case .storeFailed: "store_failed"
        case .codesUsedUp: "codes_used_up"
        case .passkeyRequired: "passkey_required"
        case .pairingRefused(let code): "pairing_" + code
        case .paired: "paired"
        case .loggedOut: "logged_out"
        case .stopped: "stopped"
        }
    }

    /// From a `stream:error` or `failure` stanza (protocol.md 8.1, 8.2); nil for any other.
    init?(_ node: Node) {
        switch node.tag {
        case "stream:error":
            let conflict = node.child("conflict")?.string("type")
            // The conflict type is a peer's text: only the two known ones are kept.
            let known = conflict.flatMap { ["replaced", "device_removed"].contains($0) ? $0 : nil }
            self = .streamError(code: node.smallNumber("code"), conflict: known)
        case "failure":
            self = .failure(reason: node.smallNumber("reason"), code: node.smallNumber("code"), expire: node.smallNumber("expire"))
        default: return nil
        }
    }
}

extension Node {
    /// A decimal attribute up to nine digits.
    func smallNumber(_ key: String) -> Int? {
        guard let text = string(key), text.utf8.count <= 9, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }
}
