package import struct Foundation.Date
package import WhatsAppWire

/// What a device says about messages that this device sent (protocol.md 12).
package struct Receipt: Equatable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// Delivered to that device of the recipient.
        case delivered
        /// Read by the recipient.
        case read
        /// Voice or view-once media played by the recipient.
        case played
        /// The device could not decrypt and asks again; answered by the client itself. `count` is the device's own counter.
        case retry(count: Int)
        /// The device could not fetch the media.
        case serverError
        /// One of the account's own devices: it has its copy, or the owner read or played something. Says nothing about the recipient.
        case ownDevice
        /// A type that this client does not know.
        case other
    }

    /// 1 to 1,024 ids; order has no meaning.
    package var messageIDs: [String]
    package var kind: Kind
    /// The device that speaks; under its LID or its number, as the server wrote it.
    package var device: JID
    /// The server's time; nil when it gave none.
    package var time: Date?
    /// The server held the receipt back while this device was away.
    package var isOffline: Bool

    package init(messageIDs: [String], kind: Kind, device: JID, time: Date?, isOffline: Bool = false) {
        self.messageIDs = messageIDs
        self.kind = kind
        self.device = device
        self.time = time
        self.isOffline = isOffline
    }
}
