package import struct Foundation.Date

/// One message to one recipient.
package struct OutgoingMessage: Sendable {
    package enum Body: Sendable {
        /// Plain text, sent as `conversation`.
        case text(String)
        /// A serialized `Message`; `stanzaType` and `mediaType` as in protocol.md 10.5 and 10.6.
        case message([UInt8], stanzaType: String, mediaType: String?)
    }

    /// The WhatsApp message id, fixed by the caller and the same on every attempt.
    package var id: String
    /// Digits only, international.
    package var recipientNumber: String
    package var body: Body
    /// 32 bytes put into the message's context info; nil adds none.
    package var messageSecret: [UInt8]?

    package init(id: String, recipientNumber: String, body: Body, messageSecret: [UInt8]? = nil) {
        self.id = id
        self.recipientNumber = recipientNumber
        self.body = body
        self.messageSecret = messageSecret
    }
}

/// What must be durable before a message's first byte leaves. Everything in it belongs in one transaction.
package struct PreWire: Sendable {
    /// Advanced ratchets and new identities.
    package var changes: DeviceChanges
    /// The plaintext to keep for retry receipts.
    package var sent: SentMessage
    /// The encoded stanza, for ``WhatsAppClient/resend(stanza:id:)``.
    package var stanza: [UInt8]
    /// 1 for the first build of the stanza; 2 when it was rebuilt after a refusal or for devices that were missing.
    package var build: Int
    /// The devices of the recipient that get a copy (own devices not counted).
    package var recipientDevices: Int
    /// Their numbers.
    package var deviceNumbers: [Int] = []
}

/// Takes what must be durable before the bytes leave, in the order of the calls, and returns what waits until it is; that throws if it will not be.
/// Called with the device's Signal sessions locked, so it must not wait: the next message is encrypted while this one's commit is under way, and
/// builds on its writes. A later message's writes may become durable first, or alone; what an earlier one wrote must not replace them then.
package typealias CommitPreWire = @Sendable (PreWire) throws -> @Sendable () async throws -> Void

/// The server took the message.
package struct Acknowledgement: Equatable, Sendable {
    /// The server's time of the message; nil when only a receipt proved that the server has it.
    package var time: Date?
    /// How many devices of the recipient were addressed; 0 for a resend.
    package var recipientDevices: Int
    /// Where the time went before the first byte.
    package var timings: SendTimings

    package init(time: Date?, recipientDevices: Int, timings: SendTimings = SendTimings()) {
        self.time = time
        self.recipientDevices = recipientDevices
        self.timings = timings
    }
}

/// Where the time of one send went before its first byte left; sums when the stanza was built twice.
package struct SendTimings: Equatable, Sendable {
    /// Until the recipient's devices and their keys were known.
    package var resolve = Duration.zero
    /// Waiting for this device's turn, encrypting, encoding.
    package var encrypt = Duration.zero
    /// The pre-wire commit.
    package var commit = Duration.zero

    package init() {}
}
