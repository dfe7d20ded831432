import Primitives
import struct Foundation.Date
import SignalProtocol
import WhatsAppWire

/// Sending to one recipient (protocol.md 10).
extension WhatsAppClient {
    /// Sends a message to all devices of the recipient and to the account's own other devices.
    ///
    /// `preWire` makes its argument durable; it is called right before the first byte leaves, and once more if the stanza has to be built again after the
    /// refusals 479 and 400, or for devices that were missing. If it throws, nothing leaves and nothing has changed here.
    /// Calls may overlap: one encrypts while others commit and wait for their acknowledgement. Waits at most for `requestTimeout` per question and
    /// `ackTimeout` for the acknowledgement; without one the connection is given up as dead.
    package func send(
        _ message: OutgoingMessage, preWire: CommitPreWire
    ) async throws(SendFailure) -> Acknowledgement {
        guard sendBegan() else { throw SendFailure(.notReady) }
        defer { sendEnded() }
        let key = Self.ackKey + message.id
        guard waits.open(key) else { throw SendFailure(.notReady, detail: "id in flight") }
        defer { waits.close(key) }
        var timings = SendTimings()
        do throws(SendFailure) {
            var acknowledgement = try await deliver(message, key: key, timings: &timings, preWire: preWire)
            acknowledgement.timings = timings
            return acknowledgement
        } catch {
            var failure = error
            failure.timings = timings
            throw failure
        }
    }

    private func deliver(
        _ message: OutgoingMessage, key: String, timings: inout SendTimings, preWire: CommitPreWire
    ) async throws(SendFailure) -> Acknowledgement {
        var sent = try await transmit(message, build: 1, refresh: false, only: nil, timings: &timings, preWire: preWire)
        var verdict = try await awaitAck(of: message.id)
        if case .refused(let code) = verdict, code == 479 || code == 400 {
            try await stored { [sent] store in
                try await store.forgetDevices(user: sent.lid.description)
                try await store.forgetDevices(user: sent.own.description)
            }
            waits.reopen(key)
            sent = try await transmit(message, build: 2, refresh: true, only: nil, timings: &timings, preWire: preWire)
            verdict = try await awaitAck(of: message.id)
        }
        switch verdict {
        case .refused(let code): throw SendFailure(.refused(code: code), onWire: true)
        case .proven: return Acknowledgement(time: nil, recipientDevices: sent.recipientDevices.count)
        case .accepted(let time, let hash):
            let acknowledgement = Acknowledgement(time: time, recipientDevices: sent.recipientDevices.count)
            guard let hash, hash != sent.hash else { return acknowledgement }
            await completeDevices(of: message, sent: sent, timings: &timings, preWire: preWire)
            return acknowledgement
        }
    }

    /// Writes a stanza that was made durable before, unchanged, and waits for its acknowledgement. For the connection on which it was built.
    package func resend(stanza: [UInt8], id: String) async throws(SendFailure) -> Acknowledgement {
        guard sendBegan() else { throw SendFailure(.notReady) }
        defer { sendEnded() }
        let key = Self.ackKey + id
        guard waits.open(key) else { throw SendFailure(.notReady, detail: "id in flight") }
        defer { waits.close(key) }
        guard writeEncoded(stanza) else { throw SendFailure(.disconnected) }
        switch try await awaitAck(of: id) {
        case .accepted(let time, _): return Acknowledgement(time: time, recipientDevices: 0)
        case .proven: return Acknowledgement(time: nil, recipientDevices: 0)
        case .refused(let code): throw SendFailure(.refused(code: code), onWire: true)
        }
    }

    /// What one stanza was sent to.
    private struct Transmission: Sendable {
        var lid: JID
        var own: JID
        /// Devices of the recipient, this device and own ones not counted.
        var recipientDevices: [JID]
        var hash: String
    }

    private enum Verdict {
        case accepted(Date?, hash: String?)
        /// Only a receipt says so.
        case proven
        case refused(Int)
    }

    // MARK: Steps

    /// Resolves, encrypts, commits and writes. `only` restricts the stanza to these devices.
    private func transmit(
        _ message: OutgoingMessage, build: Int, refresh: Bool, only: [JID]?, timings: inout SendTimings,
        preWire: CommitPreWire
    ) async throws(SendFailure) -> Transmission {
        guard let credentials else { throw SendFailure(.notReady) }
        let generation = connection?.generation
        var phase: WritableKeyPath<SendTimings, Duration> = \.resolve
        var since = ContinuousClock.now
        defer { timings[keyPath: phase] += since.duration(to: .now) }
        func enter(_ next: WritableKeyPath<SendTimings, Duration>, _ timings: inout SendTimings) {
            let now = ContinuousClock.now
            timings[keyPath: phase] += since.duration(to: now)
            (phase, since) = (next, now)
        }
        let (lid, phone) = try await resolve(message.recipientNumber, refresh: refresh)
        let own = credentials.lid.bare
        let lists = try await devices(of: [lid, own], refresh: refresh)
        guard let theirs = lists[lid], !theirs.isEmpty else { throw SendFailure(.noDevices) }
        let isToSelf = lid == own
        let all = isToSelf ? theirs : theirs + (lists[own] ?? [])
        let targets = FanOut(
            recipient: isToSelf ? [] : theirs.filter { only?.contains($0) ?? true },
            own: (isToSelf ? theirs : only == nil ? lists[own] ?? [] : []).filter { $0 != credentials.lid })
        guard !targets.all.isEmpty else { throw SendFailure(.noDevices) }
        let plaintext: OutgoingPlaintext
        do throws(WireError) { plaintext = try OutgoingPlaintext(message, destination: lid) } catch { throw SendFailure(.encodeFailed, cause: error) }

        let addresses = targets.all.map(\.signalAddress)
        var bundles = refresh ? try await fetchedBundles(for: targets.all) : [:]
        enter(\.encrypt, &timings)
        await lockSignals()
        var isLocked = true
        defer { if isLocked { signalLock.giveBack() } }
        // Cut off while it waited its turn: nothing of it has left.
        guard !Task.isCancelled else { throw SendFailure(.canceled) }
        var records = try await signals(of: addresses)
        // Nobody waits for the server with us; what was read may be another one's past afterwards, and who was known a stranger.
        var asked: Set<JID> = refresh ? Set(targets.all) : []
        while true {
            let strangers = targets.all.filter { !asked.contains($0) && records[$0.signalAddress]?.session?.isEmpty ?? true }
            guard !strangers.isEmpty else { break }
            asked.formUnion(strangers)
            enter(\.resolve, &timings)
            signalLock.giveBack()
            var failure: SendFailure?
            do throws(SendFailure) { bundles.merge(try await fetchedBundles(for: strangers)) { $1 } } catch { failure = error }
            enter(\.encrypt, &timings)
            await lockSignals()
            if let failure { throw failure }
            records = try await signals(of: addresses)
        }
        let sealed = try encrypt(plaintext, for: targets, records: records, bundles: bundles, replacing: refresh, credentials)
        let stanza = Self.stanza(message, to: lid, phone: phone, copies: sealed.copies, accountRecord: credentials.accountRecord)
        let encoded: [UInt8]
        do throws(WireError) { encoded = try NodeCodec.encode(stanza) } catch { throw SendFailure(.encodeFailed, cause: error) }
        let recipients = targets.recipient.filter { device in sealed.copies.contains { $0.device == device } }
        let kept = SentMessage(
            id: message.id, recipient: lid, number: message.recipientNumber, message: plaintext.forRecipient, stanzaType: message.stanzaType,
            mediaType: message.mediaType)
        enter(\.commit, &timings)
        if Sabotage.sendBeforeCommit.isOn { writeEncoded(encoded) }
        let changes = advanced.completed(sealed.changes)
        let durable: @Sendable () async throws -> Void
        do {
            durable = try preWire(
                PreWire(
                    changes: changes, sent: kept, stanza: encoded, build: build, recipientDevices: recipients.count,
                    deviceNumbers: recipients.map { Int($0.device) }))
        } catch {
            throw SendFailure(.preWireFailed, cause: error)
        }
        // From here on others may encrypt with what this message has advanced.
        advanced.advance(changes, from: records)
        let turn = turns.draw()
        isLocked = false
        signalLock.giveBack()
        try await leave(encoded, when: durable, turn, changes, generation)
        if Failpoint.written.isArmed, await flushed() {
            // Time for the server to read it: a process that dies takes back what nobody has read.
            _ = await sleep(.milliseconds(50))
            Failpoint.hit(.written)
        }
        for _ in 0..<sealed.changedIdentities { await observer.identityChanged() }
        return Transmission(lid: lid, own: own, recipientDevices: recipients, hash: ParticipantHash.phash(all))
    }

    private func awaitAck(of id: String) async throws(SendFailure) -> Verdict {
        let key = Self.ackKey + id
        var isProven = false
        while true {
            switch await answer(to: key, within: isProven ? configuration.lateAckGrace : configuration.ackTimeout) {
            case .answer(let node):
                if let text = node.string("error"), !isProven { return .refused(Int(text) ?? 0) }
                return .accepted(node.unixTime("t"), hash: node.string("phash"))
            case .proven: isProven = true
            case .timedOut:
                if isProven { return .proven }
                end(.ackStalled)
                throw SendFailure(.ackTimeout, onWire: true)
            case .disconnected:
                if isProven { return .proven }
                throw SendFailure(.disconnected, onWire: true)
            case .canceled:
                if isProven { return .proven }
                throw SendFailure(.canceled, onWire: true)
            }
        }
    }

    /// The server knows other devices than we used. The lists are dropped; only a recipient whose phone was missing gets the message again, once, same id.
    private func completeDevices(
        of message: OutgoingMessage, sent: Transmission, timings: inout SendTimings, preWire: CommitPreWire
    ) async {
        logger.info("device list was stale")
        do throws(SendFailure) {
            try await stored { store in
                try await store.forgetDevices(user: sent.lid.description)
                try await store.forgetDevices(user: sent.own.description)
            }
            guard sent.lid != sent.own, !sent.recipientDevices.contains(where: { $0.isPrimaryDevice }) else { return }
            let fresh = try await devices(of: [sent.lid], refresh: true)[sent.lid] ?? []
            let missing = fresh.filter { !sent.recipientDevices.contains($0) }
            guard missing.contains(where: { $0.isPrimaryDevice }) else { return }
            waits.reopen(Self.ackKey + message.id)
            _ = try await transmit(message, build: 2, refresh: false, only: missing, timings: &timings, preWire: preWire)
            _ = try await awaitAck(of: message.id)
        } catch {
            logger.warning("devices that were missing did not get the message")
        }
    }

    /// Writes the stanza when its changes are durable and those before it have left.
    private func leave(
        _ stanza: [UInt8], when durable: @Sendable () async throws -> Void, _ turn: UInt64, _ changes: DeviceChanges, _ generation: UInt64?
    ) async throws(SendFailure) {
        defer { turns.end(turn) }
        do {
            defer { advanced.settle(changes) }
            try await durable()
        } catch {
            throw SendFailure(.preWireFailed, cause: error)
        }
        await waitForTurn(turn)
        if Sabotage.sendBeforeCommit.isOn { return }
        // Its acknowledgement is waited for on the connection that it was built for.
        guard generation == connection?.generation, writeEncoded(stanza) else { throw SendFailure(.disconnected, detail: "after pre-wire") }
    }

    private func signals(of addresses: [SignalAddress]) async throws(SendFailure) -> [SignalAddress: SignalRecord] {
        do { return try await signalRecords(of: addresses) } catch { throw SendFailure(.storeFailed, cause: error) }
    }

    private func fetchedBundles(for devices: [JID]) async throws(SendFailure) -> [JID: PreKeyBundle] {
        do throws(RequestFailure) {
            return try await fetchBundles(for: devices)
        } catch {
            throw Self.resolveFailure(error)
        }
    }

    private func encrypt(
        _ plaintext: OutgoingPlaintext, for targets: FanOut, records: [SignalAddress: SignalRecord], bundles: [JID: PreKeyBundle], replacing: Bool,
        _ credentials: DeviceCredentials
    ) throws(SendFailure) -> SealedCopies {
        var sealed = SealedCopies(own: credentials.identity, random: random)
        for device in targets.all {
            let isRecipient = targets.recipient.contains(device)
            do throws(SignalError) {
                try sealed.add(
                    isRecipient ? plaintext.forRecipient : plaintext.forOwnDevices, for: device, record: records[device.signalAddress],
                    bundle: bundles[device], replacing: replacing)
            } catch {
                logger.warning("no copy for a device", metadata: ["error.code": "\(error.code.rawValue)"])
                guard isRecipient, device.isPrimaryDevice else { continue }
                throw SendFailure(.noSession, detail: error.code.rawValue, cause: error)
            }
        }
        guard targets.recipient.isEmpty || sealed.copies.contains(where: { targets.recipient.contains($0.device) }) else {
            throw SendFailure(.noSession)
        }
        guard !sealed.copies.isEmpty else { throw SendFailure(.noSession) }
        return sealed
    }

    private static func stanza(_ message: OutgoingMessage, to lid: JID, phone: JID, copies: [SealedCopies.Copy], accountRecord: [UInt8]) -> Node {
        var children = [
            Node("participants", children: copies.map { Node("to", ["jid": .jid($0.device)], children: [$0.node(mediaType: message.mediaType)]) })
        ]
        if copies.contains(where: { $0.ciphertext.kind == .preKey }) { children.append(Node("device-identity", bytes: accountRecord)) }
        return Node(
            "message",
            ["id": .string(message.id), "to": .jid(lid), "type": .string(message.stanzaType), "peer_recipient_pn": .jid(phone)], children: children)
    }
}

/// The devices that get a copy.
private struct FanOut: Sendable {
    let recipient: [JID]
    let own: [JID]
    let all: [JID]

    init(recipient: [JID], own: [JID]) {
        self.recipient = recipient
        self.own = own
        all = recipient + own.filter { !recipient.contains($0) }
    }
}
