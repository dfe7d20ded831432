import WhatsApp

/// Passes what happens on the connection to the sender's session.
struct SessionObserver: DeviceObserver {
    let session: SenderSession

    func pairingCode(_ text: String, validFor: Duration) async { await session.publish(code: text, validFor: validFor) }
    func paired(_ credentials: DeviceCredentials) async throws { await session.paired() }
    func stateChanged(_ state: ConnectionState) async { await session.changed(state) }
    func received(_ receipts: [Receipt]) async throws { try await session.record(receipts) }
}
