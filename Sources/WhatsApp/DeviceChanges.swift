package import Primitives
package import SignalProtocol

/// Writes to one device's durable state that belong in one transaction. A nil value in a map deletes that row.
package struct DeviceChanges: Sendable {
    /// Deletes everything of this device before the rest is written: the pairing is void.
    package var erasesDevice: Bool
    /// New or changed credentials; nil leaves them alone.
    package var credentials: DeviceCredentials?
    /// Signal sessions by address.
    package var sessions: [SignalAddress: SessionRecord?]
    /// Identity keys by address.
    package var identities: [SignalAddress: PublicKey?]
    /// One-time prekeys just made, not uploaded yet.
    package var newPreKeys: [PreKeyPair]
    /// Ids whose upload the server confirmed.
    package var uploadedPreKeys: [UInt32]
    /// Ids that a message consumed; their private halves go.
    package var removedPreKeys: [UInt32]

    package init(
        erasesDevice: Bool = false, credentials: DeviceCredentials? = nil, sessions: [SignalAddress: SessionRecord?] = [:],
        identities: [SignalAddress: PublicKey?] = [:], newPreKeys: [PreKeyPair] = [], uploadedPreKeys: [UInt32] = [], removedPreKeys: [UInt32] = []
    ) {
        self.erasesDevice = erasesDevice
        self.credentials = credentials
        self.sessions = sessions
        self.identities = identities
        self.newPreKeys = newPreKeys
        self.uploadedPreKeys = uploadedPreKeys
        self.removedPreKeys = removedPreKeys
    }

    /// Whether there is nothing to write.
    package var isEmpty: Bool {
        !erasesDevice && credentials == nil && sessions.isEmpty && identities.isEmpty && newPreKeys.isEmpty && uploadedPreKeys.isEmpty
            && removedPreKeys.isEmpty
    }
}
