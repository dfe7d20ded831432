import SignalProtocol
import WhatsAppWire

/// A device's request to get a message again (protocol.md 12.4).
struct RetryRequest: Sendable {
    var messageID: String
    /// The device's own counter, from 1.
    var count: Int
    /// The device, as the server wrote it.
    var device: JID
    /// Of the `retry` element; repeated in the answer.
    var time: String?
    /// Why it could not decrypt; 0 when it does not say.
    var error: Int
    var registrationID: UInt32?
    /// The keys it sent along, verified.
    var bundle: PreKeyBundle?
    var from: AttributeValue
    var participant: AttributeValue?
    var recipient: AttributeValue?
    var edit: AttributeValue?

    init?(_ node: Node, count: Int, device: JID) {
        guard let retry = node.child("retry"), let from = node.attributes["from"], let id = retry.string("id") ?? node.string("id"), !id.isEmpty
        else {
            return nil
        }
        messageID = id
        self.count = count
        self.device = device
        time = retry.string("t")
        error = retry.smallNumber("error") ?? 0
        registrationID = node.child("registration")?.contentBytes.flatMap { $0.count == 4 ? $0.reduce(0) { $0 << 8 | UInt32($1) } : nil }
        bundle = node.child("keys") == nil ? nil : PreKeyBundle(node)
        self.from = from
        participant = node.attributes["participant"]
        recipient = node.attributes["recipient"]
        edit = node.attributes["edit"]
    }

    /// For counting only: the device under the name it used.
    var signalAddress: SignalAddress { device.signalAddress }

    /// Whether the session is certainly of no use: the device says so, or it was set up anew since.
    func calls(forNewSessionInsteadOf session: SessionRecord?) -> Bool {
        guard let session, !session.isEmpty else { return true }
        // 4 invalid message, 7 bad MAC.
        if count >= 2 || error == 4 || error == 7 { return true }
        guard let registrationID, let known = session.remoteRegistrationID else { return false }
        return registrationID != known
    }
}
