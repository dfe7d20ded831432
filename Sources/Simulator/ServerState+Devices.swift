import SignalProtocol
import WhatsAppWire

/// What a simulated device does with a message: decrypt it with its own store, show it once, send receipts or ask again.
extension ServerState {
    /// After so many requests a device gives a message up (protocol.md 12.5).
    private static let maximumRetryRequests = 5

    private enum Outcome {
        case message(WAMessage)
        /// It cannot be decrypted; the code goes into the retry receipt (protocol.md 12.4).
        case failed(code: Int)
    }

    mutating func deliverToSimulated(_ copy: Copy, key: MessageKey) {
        record(copy) { $0.copies += 1 }
        let behaviour = accounts[copy.device.account].behaviour
        let asked = tracks[key]?.retryRequests[copy.device] ?? 0
        if !copy.isOwnCopy, copy.device.device == 0, asked < behaviour.retryRequests {
            return askAgain(copy, key: key, code: nil)
        }
        switch decrypt(copy) {
        case .message(let message):
            let text = Self.text(of: message)
            let isFirst = record(copy) { entry in
                if entry.shown > 0 {
                    entry.duplicates += 1
                    return false
                }
                entry.shown = 1
                entry.text = text
                return true
            }
            if isFirst { counters.shown += 1 } else { counters.duplicates += 1 }
            if isFirst { announce(copy, text: text, key: key) }
            sendReceipts(copy, behaviour)
        case .failed(let code):
            // A second copy of the same bytes: a real client recognises the message by its id, and says again that it has it.
            let wasShown = record(copy) { entry in
                entry.decryptFailures += 1
                if entry.shown > 0 { entry.duplicates += 1 }
                return entry.shown > 0
            }
            counters.decryptFailures += 1
            if wasShown {
                counters.duplicates += 1
                sendReceipts(copy, behaviour)
            } else {
                askAgain(copy, key: key, code: code)
            }
        }
    }

    /// The first device that shows a message to its recipient tells `nextMessage`.
    private mutating func announce(_ copy: Copy, text: String?, key: MessageKey) {
        guard !copy.isOwnCopy, copy.stanza.string("category") != "peer", tracks[key]?.isAnnounced == false else { return }
        tracks[key]?.isAnnounced = true
        let shown = shown
        record(copy) { _ = shown.yield($0) }
    }

    private mutating func decrypt(_ copy: Copy) -> Outcome {
        guard let bytes = copy.enc.contentBytes, let kind = CipherKind(rawValue: copy.enc.string("type") ?? "") else { return .failed(code: 4) }
        let address = accounts[copy.sender.account].signalAddress(copy.sender.device)
        let random = random
        do {
            if kind == .preKey, copy.device.account != copy.sender.account || copy.device.device != 0, !provesIdentity(copy, bytes) {
                counters.invalidDeviceIdentities += 1
                return .failed(code: 12)
            }
            guard
                let padded = try accounts[copy.device.account].simulated[copy.device.device]?.decrypt(
                    bytes, kind: kind, from: address, random: random)
            else { return .failed(code: 1) }
            return .message(try WAMessage(wire: try MessagePadding.unpad(padded)))
        } catch let error as SignalError {
            return .failed(code: error.retryCode)
        } catch {
            return .failed(code: 4)
        }
    }

    /// Whether the stanza's device-identity shows that the sender's phone linked the device that this prekey message is from (protocol.md 10.6).
    private mutating func provesIdentity(_ copy: Copy, _ bytes: [UInt8]) -> Bool {
        guard let record = copy.stanza.child("device-identity")?.contentBytes else { return false }
        do {
            let identity = try PreKeyMessageHeader.parse(bytes).identityKey
            let verified = SimulatedDevice.VerifiedRecord(record: record, identity: identity)
            if accounts[copy.device.account].simulated[copy.device.device]?.verifiedRecords[copy.sender] == verified { return true }
            guard AccountSigning.isValid(record, identity: identity, accountKey: accounts[copy.sender.account].accountKey.publicKey) else {
                return false
            }
            accounts[copy.device.account].simulated[copy.device.device]?.verifiedRecords[copy.sender] = verified
            return true
        } catch {
            return false
        }
    }

    /// What stands on the screen; own copies are unwrapped.
    static func text(of message: WAMessage) -> String? {
        if message.hasDeviceSentMessage { return text(of: message.deviceSentMessage.message) }
        if message.hasConversation { return message.conversation }
        return message.hasExtendedTextMessage ? message.extendedTextMessage.text : nil
    }

    // MARK: Receipts

    private mutating func sendReceipts(_ copy: Copy, _ behaviour: RecipientBehaviour) {
        if copy.isOwnCopy || copy.device.account == copy.sender.account {
            return send(receipt(copy, type: "sender"), to: copy.sender, delay: .zero)
        }
        guard behaviour.receipts != .none else { return }
        send(receipt(copy, type: nil), to: copy.sender, delay: behaviour.receiptDelay)
        if behaviour.receipts == .read, copy.device.device == 0 { send(receipt(copy, type: "read"), to: copy.sender, delay: behaviour.receiptDelay) }
    }

    private mutating func send(_ receipt: Node, to device: DeviceReference, delay: Duration) {
        counters.receipts += 1
        if delay == .zero { enqueue(receipt, for: device) } else { after(delay, .deliver(receipt, device)) }
    }

    private func receipt(_ copy: Copy, type: String?, children: [Node] = []) -> Node {
        Node(
            "receipt",
            [
                "from": .jid(accounts[copy.device.account].jid(copy.device.device, like: copy.to)), "id": .string(copy.id), "t": .number(now),
                "type": type.map { .string($0) }, "recipient": copy.isOwnCopy ? .jid(accounts[copy.chat].jid(0, like: copy.to)) : nil,
            ], content: children.isEmpty ? .none : .nodes(children))
    }

    /// A retry receipt; from the second request on, or when the session itself is lost, with the keys for a new session.
    private mutating func askAgain(_ copy: Copy, key: MessageKey, code: Int?) {
        let count = (tracks[key]?.retryRequests[copy.device] ?? 0) + 1
        guard count <= Self.maximumRetryRequests, let device = accounts[copy.device.account].simulated[copy.device.device] else { return }
        if tracks[key] == nil { tracks[key] = MessageTrack(origin: copy.sender) }
        tracks[key]?.retryRequests[copy.device] = count
        record(copy) { $0.retryRequests += 1 }
        counters.retryRequests += 1
        var children = [
            Node(
                "retry",
                ["count": .number(count), "id": .string(copy.id), "t": .number(now), "v": "1", "error": code.map { .number($0) }]),
            Node("registration", bytes: device.identity.registrationID.bytes(4)),
        ]
        if count > 1 || code == 1 || code == 3 || code == 8, let bundle = takeBundle(of: copy.device) {
            children.append(Node("keys", children: Self.keyNodes(of: bundle)))
        }
        enqueue(receipt(copy, type: "retry", children: children), for: copy.sender)
    }
}

extension SignalError {
    /// The numbers of protocol.md 12.4.
    fileprivate var retryCode: Int {
        switch code {
        case .noSession: 1
        case .invalidKey, .identityMismatch: 2
        case .unknownPreKey, .unknownSignedPreKey: 3
        case .invalidSignature: 5
        case .tooFarAhead: 6
        case .badMAC: 7
        case .duplicateMessage: 9
        default: 4
        }
    }
}
