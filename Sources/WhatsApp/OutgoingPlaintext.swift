import WhatsAppWire

/// The two plaintexts of a message: one for the recipient's devices, one for the account's own (protocol.md 10.4). Not padded yet.
struct OutgoingPlaintext: Sendable {
    let forRecipient: [UInt8]
    let forOwnDevices: [UInt8]

    init(_ message: OutgoingMessage, destination: JID) throws(WireError) {
        var content: WAMessage
        switch message.body {
        case .text(let text): content = TextMessage(text, secret: message.messageSecret).message
        case .message(let bytes, _, _):
            content = try WAMessage(wire: bytes)
            if let secret = message.messageSecret { content.messageContextInfo.messageSecret = .init(secret) }
        }
        forRecipient = content.wireBytes
        forOwnDevices = content.sent(to: destination).wireBytes
    }

    /// A kept message, wrapped for one of the account's own devices.
    static func ownCopy(of message: [UInt8], destination: JID) throws(WireError) -> [UInt8] {
        try WAMessage(wire: message).sent(to: destination).wireBytes
    }
}

extension OutgoingMessage {
    var stanzaType: String {
        if case .message(_, let type, _) = body { type } else { "text" }
    }

    var mediaType: String? {
        if case .message(_, _, let type) = body { type } else { nil }
    }
}
