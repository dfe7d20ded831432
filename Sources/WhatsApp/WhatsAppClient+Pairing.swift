import SignalProtocol
import WhatsAppWire

/// Linking by QR code (protocol.md 6.1 to 6.3).
extension WhatsAppClient {
    /// Answers the references and has their codes shown.
    func pairDevice(_ node: Node) -> Job? {
        guard connection?.pairing != nil else { return nil }
        do throws(WireError) {
            let references = try CompanionPairing.references(of: node)
            write(try CompanionPairing.acknowledgement(of: node))
            return .showCodes(references: Array(references.prefix(Self.maximumCodes)))
        } catch {
            logger.warning("pair-device could not be read", metadata: ["error.code": "\(error.code.rawValue)"])
            return nil
        }
    }

    /// Shows one code after the other, the first longer than the rest, then ends the connection.
    func showCodes(_ references: [[UInt8]]) async {
        for (index, reference) in references.enumerated() {
            guard let keys = connection?.pairing, connection?.hasPaired == false else { return }
            let text: String
            do throws(WireError) {
                text = try CompanionPairing.qrText(
                    reference: reference, noiseKey: keys.noiseKey.publicKey, identityKey: keys.identity.keyPair.publicKey, advSecret: keys.advSecret,
                    client: .chrome)
            } catch {
                continue
            }
            let shown = index == 0 ? configuration.firstCode : configuration.laterCode
            connection?.hasShownLastCode = index == references.count - 1
            await observer.pairingCode(text, validFor: shown)
            guard await sleep(shown) else { return }
        }
        if connection?.pairing != nil, connection?.hasPaired == false { end(.codesUsedUp) }
    }

    /// Verifies, stores durably, answers; the server then ends the connection with 515.
    func finishPairing(_ node: Node) async {
        guard let keys = connection?.pairing, connection?.hasPaired == false else { return }
        let outcome: CompanionPairing.Outcome
        do throws(WireError) {
            outcome = try CompanionPairing.accept(
                node, identity: keys.identity.keyPair, advSecret: keys.advSecret, expectedNumber: configuration.expectedNumber, random: random)
        } catch {
            return end(.pairingRefused(code: "malformed"))
        }
        switch outcome {
        case .refused(let refusal, let reply):
            write(reply)
            _ = await flushed()
            end(.pairingRefused(code: refusal.rawValue))
        case .accepted(let account, let reply):
            let paired = DeviceCredentials(
                noiseKey: keys.noiseKey, identity: keys.identity, signedPreKey: keys.signedPreKey, jid: account.jid, lid: account.lid,
                accountRecord: account.accountRecord, accountKey: account.accountKey, platform: account.platform ?? "")
            let phone = SignalAddress(name: account.phoneAddressName, device: 0)
            do {
                try await store.commit(DeviceChanges(erasesDevice: true, credentials: paired, identities: [phone: account.accountKey]))
            } catch {
                return end(.storeFailed)
            }
            write(reply)
            guard await flushed() else { return await forgetPairing() }
            connection?.hasPaired = true
            await tellPaired(paired)
            // The restart is the server's; should it never come, the login happens all the same.
            if await sleep(configuration.handshakeTimeout) { end(.paired) }
        }
    }

    /// The answer never left, so the phone knows nothing of this device.
    private func forgetPairing() async {
        do {
            try await store.commit(DeviceChanges(erasesDevice: true))
        } catch {
            logger.error("an unfinished pairing could not be erased")
        }
        end(.closed)
    }

    private func tellPaired(_ paired: DeviceCredentials) async {
        do {
            try await observer.paired(paired)
        } catch {
            logger.error("the pairing could not be recorded")
        }
    }

    /// The server sends six; a peer's list is bounded all the same.
    private static let maximumCodes = 12
}
