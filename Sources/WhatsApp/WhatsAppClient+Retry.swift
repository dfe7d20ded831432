import Primitives
import SignalProtocol
import WhatsAppWire

/// Answering a device that could not decrypt (protocol.md 12.4): repair its session first, then send the kept plaintext to it alone, under the same id.
extension WhatsAppClient {
    /// False when nothing could be read or stored: the device must ask again.
    func answer(_ request: RetryRequest) async -> Bool {
        do {
            try await repairAndResend(request)
            return true
        } catch {
            logger.warning("retry could not be answered")
            // What the server or the device is to blame for will not be better the next time.
            if case .refused? = error as? RequestFailure { return true }
            return error is SignalError || error is WireError
        }
    }

    private func repairAndResend(_ request: RetryRequest) async throws {
        guard let credentials else { return }
        let sent = try await store.sentMessage(id: request.messageID)
        guard let device = try await underLID(request.device, sent: sent, own: credentials), device != credentials.lid else {
            return logger.info("retry of an unknown device dropped")
        }
        let address = device.signalAddress
        var bundle: PreKeyBundle?
        if let sentAlong = request.bundle {
            if retries.mayRebuildFromKeys(of: address, now: now()) { bundle = sentAlong }
        } else {
            let known = try await signalRecord(of: address)
            if request.calls(forNewSessionInsteadOf: known?.session), retries.mayFetchBundle(for: address, now: now()) {
                bundle = try await fetchBundles(for: [device])[device]
            }
        }

        try await withSettledSignals { try await resend(request, to: device, sent: sent, bundle: bundle, credentials) }
    }

    /// The last step, alone with the Signal sessions.
    private func resend(
        _ request: RetryRequest, to device: JID, sent: SentMessage?, bundle: PreKeyBundle?, _ credentials: DeviceCredentials
    ) async throws {
        let address = device.signalAddress
        let record = try await store.signalRecords(for: [address])[address]
        var sealed = SealedCopies(own: credentials.identity, random: random)
        let isOwn = credentials.isOwnUser(device)
        guard let sent, isOwn || device.user == sent.recipient.user else {
            // Without a plaintext the repair still heals the next message.
            if let bundle { try await keepSession(from: bundle, for: address, record: record, credentials) }
            return logger.info("retry of a message that is no longer kept")
        }
        let plaintext = isOwn ? try OutgoingPlaintext.ownCopy(of: sent.message, destination: sent.recipient) : sent.message
        try sealed.add(plaintext, for: device, record: record, bundle: bundle, replacing: bundle != nil)
        guard let copy = sealed.copies.first else { return }
        Failpoint.hit(.retryBegin)
        try await store.commit(sealed.changes)
        Failpoint.hit(.retryAnswered)
        write(Self.answer(to: request, sent: sent, copy: copy, accountRecord: credentials.accountRecord))
        for _ in 0..<sealed.changedIdentities { await observer.identityChanged() }
    }

    private func keepSession(from bundle: PreKeyBundle, for address: SignalAddress, record: SignalRecord?, _ credentials: DeviceCredentials)
        async throws
    {
        var session = record?.session ?? SessionRecord()
        try SessionCipher.begin(bundle, own: credentials.identity, record: &session, random: random)
        var changes = DeviceChanges(sessions: [address: session])
        if bundle.identityKey != record?.identity { changes.identities[address] = .some(bundle.identityKey) }
        try await store.commit(changes)
    }

    /// The device under its LID, which is what its session is stored under; nil if nothing ties its number to a LID.
    private func underLID(_ device: JID, sent: SentMessage?, own: DeviceCredentials) async throws -> JID? {
        let server: JID.Server
        switch device.server {
        case .lid, .hostedLID: return JID(user: device.user, server: device.server, device: device.device)
        case .phone: server = .lid
        case .hosted: server = .hostedLID
        default: return nil
        }
        if own.isOwnUser(.phone(device.user)) { return JID(user: own.lid.user, server: server, device: device.device) }
        if let sent, sent.number == device.user { return JID(user: sent.recipient.user, server: server, device: device.device) }
        // The number in the server's answer may differ from the one that was asked for (protocol.md 10.1).
        if let sent, try await store.cachedContact(number: sent.number)?.phone?.user == device.user {
            return JID(user: sent.recipient.user, server: server, device: device.device)
        }
        guard let lid = try await store.cachedContact(number: device.user)?.lid else { return nil }
        return JID(user: lid.user, server: server, device: device.device)
    }

    private static func answer(to request: RetryRequest, sent: SentMessage, copy: SealedCopies.Copy, accountRecord: [UInt8]) -> Node {
        var children = [copy.node(mediaType: sent.mediaType, count: request.count)]
        if copy.ciphertext.kind == .preKey { children.append(Node("device-identity", bytes: accountRecord)) }
        return Node(
            "message",
            [
                "to": request.from, "id": .string(request.messageID), "type": .string(sent.stanzaType), "t": request.time.map { .string($0) },
                "device_fanout": "false", "participant": request.participant, "recipient": request.recipient, "edit": request.edit,
            ], children: children)
    }
}
