/// What a linked device must remember before a message's bytes leave, sealed already: ratchets that have advanced, identities seen for the first
/// time, and the plaintext kept for retry receipts. It becomes durable together with `on_wire`, in one statement with what other messages of
/// the same moment bring, or not at all.
package struct DeviceWrites: Sendable {
    package struct Row: Sendable {
        package let address: [UInt8]
        package let user: [UInt8]
        package let sealed: [UInt8]
        package let revision: Int64

        /// - Parameters:
        ///   - address: blind index of the Signal address; `user` of its name without the device. 16 bytes each.
        ///   - revision: counts the sender's writes; a row that has a later one already stays as it is.
        package init(address: [UInt8], user: [UInt8], sealed: [UInt8], revision: Int64) {
            self.address = address
            self.user = user
            self.sealed = sealed
            self.revision = revision
        }
    }

    package var sessions: [Row]
    package var identities: [Row]
    /// nil: none is kept.
    package var sentMessage: [UInt8]?

    package init(sessions: [Row], identities: [Row], sentMessage: [UInt8]?) {
        self.sessions = sessions
        self.identities = identities
        self.sentMessage = sentMessage
    }
}
