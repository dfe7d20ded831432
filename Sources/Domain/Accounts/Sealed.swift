package import Secrets

/// A sealed column of this room: which key seals it, and which place it is bound to. One list, so that sealing and opening cannot differ.
package struct Sealed: Sendable {
    package let purpose: Purpose
    package let context: SealContext

    private init(_ purpose: Purpose, _ table: String, _ column: String, _ row: [UInt8]) {
        self.purpose = purpose
        context = SealContext(table: table, column: column, rowID: row)
    }

    static func accountName(_ id: Account.ID) -> Sealed { Sealed(.labels, "accounts", "name_sealed", id.bytes) }
    static func poolName(_ id: Pool.ID) -> Sealed { Sealed(.labels, "pools", "name_sealed", id.bytes) }
    static func senderLabel(_ id: Sender.ID) -> Sealed { Sealed(.labels, "senders", "label_sealed", id.bytes) }
    static func senderNumber(_ id: Sender.ID) -> Sealed { Sealed(.senders, "senders", "number_sealed", id.bytes) }
    static func keyLabel(_ id: APIKey.ID) -> Sealed { Sealed(.labels, "api_keys", "label_sealed", id.bytes) }
    static func pairingNumber(_ id: Sender.ID) -> Sealed { Sealed(.pairing, "pairings", "number_sealed", id.bytes) }
    static func pairingCode(_ id: Sender.ID) -> Sealed { Sealed(.pairing, "pairings", "code_sealed", id.bytes) }
    static func recipient(_ id: Message.ID) -> Sealed { Sealed(.recipients, "messages", "recipient_sealed", id.bytes) }
    static func reference(_ id: Message.ID) -> Sealed { Sealed(.references, "messages", "reference_sealed", id.bytes) }
    static func metadata(_ id: Message.ID) -> Sealed { Sealed(.references, "messages", "metadata_sealed", id.bytes) }
    static func body(_ id: Message.ID) -> Sealed { Sealed(.bodies, "message_bodies", "sealed", id.bytes) }
    static func webhookURL(_ id: WebhookEndpoint.ID) -> Sealed { Sealed(.settings, "webhook_endpoints", "url_sealed", id.bytes) }
    static func webhookDescription(_ id: WebhookEndpoint.ID) -> Sealed { Sealed(.labels, "webhook_endpoints", "description_sealed", id.bytes) }
    static func webhookSecret(_ id: WebhookEndpoint.ID) -> Sealed { Sealed(.settings, "webhook_endpoints", "secret_sealed", id.bytes) }
    static func webhookPrevious(_ id: WebhookEndpoint.ID) -> Sealed { Sealed(.settings, "webhook_endpoints", "previous_sealed", id.bytes) }
    static func channelAddress(_ id: AlertChannel.ID) -> Sealed { Sealed(.people, "alert_channels", "address_sealed", id.bytes) }
    static func noticeSecret(_ id: AlertNotice.ID) -> Sealed { Sealed(.people, "alert_notices", "secret_sealed", id.bytes) }
    /// Not stored: where a reader of the log stands, in the client's hands.
    static let eventCursor = Sealed(.events, "events", "cursor", [])
    static func contact(_ kind: String, _ index: [UInt8]) -> Sealed { Sealed(.contacts, "contact_cache", "sealed", Array(kind.utf8) + [0] + index) }
}

extension Sealer {
    func seal(_ text: String, _ place: Sealed) -> [UInt8] { seal(Array(text.utf8), purpose: place.purpose, context: place.context) }
    func seal(_ bytes: [UInt8], _ place: Sealed) -> [UInt8] { seal(bytes, purpose: place.purpose, context: place.context) }
    func open(_ sealed: [UInt8], _ place: Sealed) throws(SecretsFailure) -> [UInt8] {
        try open(sealed, purpose: place.purpose, context: place.context)
    }

    func openText(_ sealed: [UInt8], _ place: Sealed) throws(SecretsFailure) -> String {
        guard let text = String(validating: try open(sealed, place), as: UTF8.self) else { throw SecretsFailure(.malformed) }
        return text
    }
}
