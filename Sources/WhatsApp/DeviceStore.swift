package import Primitives
package import SignalProtocol
package import WhatsAppWire

/// All durable state of **one** linked device. The implementer seals and stores it; every method returns only after its effect is durable.
///
/// The client calls it from one device only. It never reads or commits an address here while a message's pre-wire for it is on its way. A thrown
/// error means that nothing was changed; the client then leaves its own state as it was.
package protocol DeviceStore: Sendable {
    /// The credentials of the pairing, or nil when the device is not paired.
    func credentials() async throws -> DeviceCredentials?

    /// Writes everything in `changes` in one transaction.
    func commit(_ changes: DeviceChanges) async throws

    /// Session and identity of each address; an address without either is absent from the answer.
    func signalRecords(for addresses: [SignalAddress]) async throws -> [SignalAddress: SignalRecord]

    /// Every address with a session or an identity whose `name` (without device) is `name` (protocol.md 9.8).
    func addresses(ofUser name: String) async throws -> [SignalAddress]

    /// The one-time prekeys with these ids that still exist, in any order.
    func preKeys(_ ids: [UInt32]) async throws -> [PreKeyPair]

    /// At most `limit` one-time prekeys that were made but never confirmed as uploaded, lowest id first.
    func unuploadedPreKeys(limit: Int) async throws -> [PreKeyPair]

    /// The next id never used (1 at first), how many prekeys are not yet uploaded, and whether any upload was ever confirmed.
    func preKeyState() async throws -> (nextID: UInt32, unuploaded: Int, everUploaded: Bool)

    /// What the counterparty cache knows about a number (digits, no plus). The cache may be empty at any time.
    func cachedContact(number: String) async throws -> CachedContact?

    /// The cached device list of a user. `user` is the text of the bare JID (`123@lid`).
    func cachedDevices(user: String) async throws -> CachedDevices?

    /// Remembers what the server said about `number`.
    func cache(contact: CachedContact, number: String) async throws

    /// Remembers the device list of `user` (text of the bare JID).
    func cache(devices: CachedDevices, user: String) async throws

    /// Drops the device list of `user`; nothing happens if there is none.
    func forgetDevices(user: String) async throws

    /// The plaintext kept for retry receipts (protocol.md 12.4), or nil when it is unknown or its time is over.
    func sentMessage(id: String) async throws -> SentMessage?
}

/// What is stored of one Signal address.
package struct SignalRecord: Sendable {
    /// The Signal session; nil when there is none.
    package var session: SessionRecord?
    /// The identity key seen last; nil when none was seen.
    package var identity: PublicKey?

    package init(session: SessionRecord? = nil, identity: PublicKey? = nil) {
        self.session = session
        self.identity = identity
    }
}

/// What the server says about one number (protocol.md 10.1).
package struct CachedContact: Hashable, Sendable {
    /// Whether the number is registered on WhatsApp.
    package var isRegistered: Bool
    /// The bare LID; nil if not registered or the server knows none.
    package var lid: JID?
    /// The bare phone-number JID as the server writes it; it may differ from the number that was asked for.
    package var phone: JID?

    package init(isRegistered: Bool, lid: JID?, phone: JID?) {
        self.isRegistered = isRegistered
        self.lid = lid
        self.phone = phone
    }
}

/// The devices of one user (protocol.md 10.2).
package struct CachedDevices: Hashable, Sendable {
    /// Device JIDs as they are addressed; device 0 is the bare JID.
    package var devices: [JID]

    package init(devices: [JID]) {
        self.devices = devices
    }
}

/// The plaintext of a sent message, kept so that a device which could not decrypt it can be answered (protocol.md 12.4).
package struct SentMessage: Equatable, Sendable {
    /// The WhatsApp message id.
    package var id: String
    /// The bare LID to which the message was addressed.
    package var recipient: JID
    /// The recipient's number, digits only.
    package var number: String
    /// The serialized `Message`, not padded.
    package var message: [UInt8]
    /// The stanza's `type`.
    package var stanzaType: String
    /// The `mediatype` of the `enc` nodes, if any.
    package var mediaType: String?

    package init(id: String, recipient: JID, number: String, message: [UInt8], stanzaType: String = "text", mediaType: String? = nil) {
        self.id = id
        self.recipient = recipient
        self.number = number
        self.message = message
        self.stanzaType = stanzaType
        self.mediaType = mediaType
    }
}
