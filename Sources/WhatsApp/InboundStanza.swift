import Foundation
import WhatsAppWire

/// What an inbound stanza asks of this client (protocol.md 7.5). Pure: a table test covers it.
enum InboundStanza: Equatable, Sendable {
    case answer(id: String)
    case messageAck(id: String)
    case success
    case end(LinkEnd)
    case pairDevice
    case pairSuccess
    case ping
    case receipt
    case notification
    case peerMessage
    /// Acknowledged and dropped, never read.
    case drop
    /// Neither acknowledged nor read.
    case ignore
    case passkeyRequest

    /// - Parameter own: nil while pairing.
    init(_ node: Node, own: DeviceCredentials?) {
        switch node.tag {
        case "iq": self = Self.request(node)
        case "ack":
            if node.string("class") == "message", let id = node.string("id") { self = .messageAck(id: id) } else { self = .ignore }
        case "success": self = own == nil ? .ignore : .success
        case "failure", "stream:error": self = LinkEnd(node).map(InboundStanza.end) ?? .ignore
        case "xmlstreamend": self = .end(.closed)
        case "receipt": self = own == nil ? .drop : .receipt
        case "notification":
            switch node.string("type") {
            case "passkey_prologue_request" where own == nil: self = .passkeyRequest
            case "encrypt", "devices", "account_sync": self = own == nil ? .drop : .notification
            default: self = .drop
            }
        case "message":
            if node.string("category") == "peer", let from = node.jid("from"), let own, own.isOwnUser(from) {
                self = .peerMessage
            } else {
                self = .drop
            }
        case "call", "status", "appdata": self = .drop
        default: self = .ignore
        }
    }

    private static func request(_ node: Node) -> InboundStanza {
        switch node.string("type") {
        case "result", "error": return node.string("id").map { .answer(id: $0) } ?? .ignore
        case "set" where node.child("pair-device") != nil: return .pairDevice
        case "set" where node.child("pair-success") != nil: return .pairSuccess
        case "get" where node.string("xmlns") == "urn:xmpp:ping": return .ping
        default: return .ignore
        }
    }

    /// The acknowledgement of a stanza; nil if it lacks id or sender.
    static func ack(for node: Node) -> Node? {
        guard let id = node.attributes["id"], let from = node.attributes["from"] else { return nil }
        return Node(
            "ack",
            [
                "class": .string(node.tag), "id": id, "to": from, "participant": node.attributes["participant"],
                "recipient": node.attributes["recipient"], "type": node.tag == "message" ? nil : node.attributes["type"],
            ])
    }
}

extension Receipt {
    /// Reads a receipt stanza (protocol.md 12.1); nil if it names no message or no device.
    init?(_ node: Node, own: DeviceCredentials) {
        guard let id = node.string("id"), !id.isEmpty, let device = node.jid("participant") ?? node.jid("from") else { return nil }
        var ids = [id]
        for item in node.child("list")?.children("item") ?? [] {
            guard let other = item.string("id"), !other.isEmpty, ids.count < Self.maximumIDs else { continue }
            ids.append(other)
        }
        let kind: Kind
        let isOwn = own.isOwnUser(device)
        switch node.string("type") {
        case "retry": kind = .retry(count: node.child("retry")?.smallNumber("count") ?? 1)
        case nil, "", "inactive", "delivery": kind = isOwn ? .ownDevice : .delivered
        case "read": kind = isOwn ? .ownDevice : .read
        case "played": kind = isOwn ? .ownDevice : .played
        case "sender", "read-self", "played-self", "peer_msg", "hist_sync": kind = .ownDevice
        case "server-error": kind = .serverError
        default: kind = .other
        }
        self.init(messageIDs: ids, kind: kind, device: device, time: node.unixTime("t"), isOffline: node.attributes["offline"] != nil)
    }

    private static let maximumIDs = 1_024
}

extension Node {
    /// A time in unix seconds; nil if it is absent, 0 or beyond the year 9999.
    func unixTime(_ key: String) -> Date? {
        guard let seconds = uint(key), (1...253_402_300_799).contains(seconds) else { return nil }
        return Date(timeIntervalSince1970: TimeInterval(seconds))
    }
}
