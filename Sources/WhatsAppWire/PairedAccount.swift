package import Primitives

/// What a linked device knows about itself after pairing; to be stored durably before the answer is sent (protocol.md 6.2, step 6).
package struct PairedAccount: Equatable, Sendable {
    /// This device under the account's phone number.
    package var jid: JID
    /// This device under the account's LID.
    package var lid: JID
    /// The phone's platform, where the server says it.
    package var platform: String?
    /// The verified business name, for business accounts.
    package var businessName: String?
    /// The serialized ADVSignedDeviceIdentity with all four fields: sent later with every message that begins a session (protocol.md 10.6).
    package var accountRecord: [UInt8]
    /// Also the Signal identity of the account's phone, `phoneAddressName` with device 0.
    package var accountKey: PublicKey
    package var keyIndex: UInt32
    /// The server's clock at that moment in unix seconds, if it told.
    package var serverTime: Int64?

    /// The name of the phone's Signal address.
    package var phoneAddressName: String { lid.bare.signalName }
}
