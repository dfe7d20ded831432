import Foundation
import Primitives
import SignalProtocol
import WhatsAppWire

/// What simulated phones write by themselves: a companion's first peer messages, and messages to a sender (protocol.md 7.6).
extension ServerState {
    private static let writtenLimit = 10_000

    /// A message of a simulated phone, kept for retry receipts.
    struct WrittenMessage: Sendable {
        let phone: DeviceReference
        let plaintext: [UInt8]
        let attributes: [String: AttributeValue]
    }

    /// The messages a phone sends its new companion: a piece of history, and an app state key where configured.
    mutating func greet(_ device: DeviceReference) {
        let phone = DeviceReference(account: device.account, device: 0)
        var history = WAHistorySync()
        history.syncType = .initialBootstrap
        history.chunkOrder = 1
        history.progress = 100
        history.nctSalt = Data(random.bytes(32))
        var message = WAMessage()
        message.protocolMessage.type = .historySyncNotification
        message.protocolMessage.historySyncNotification.syncType = .initialBootstrap
        message.protocolMessage.historySyncNotification.chunkOrder = 1
        message.protocolMessage.historySyncNotification.progress = 100
        message.protocolMessage.historySyncNotification.initialHistBootstrapInlinePayload = Data(Zlib.stored(history.wireBytes))
        write(message.wireBytes, id: makeMessageID(), by: phone, to: device, attributes: ["category": "peer"])
        guard configuration.sharesAppStateKey else { return }
        var key = WAAppStateSyncKey()
        key.keyID.keyID = Data([0, 0] + random.bytes(4))
        key.keyData.keyData = Data(random.bytes(32))
        key.keyData.timestamp = now
        var share = WAMessage()
        share.protocolMessage.type = .appStateSyncKeyShare
        share.protocolMessage.appStateSyncKeyShare.keys = [key]
        write(share.wireBytes, id: makeMessageID(), by: phone, to: device, attributes: ["category": "peer"])
    }

    mutating func inbound(from number: String, to sender: String, text: String) throws(SimulatorError) -> String {
        guard let digits = PhoneNumber.parse(number) else { throw SimulatorError(.invalidNumber) }
        let devices = try linkedDevices(of: sender)
        let author = DeviceReference(account: makeAccount(number: digits, devices: configuration.recipientDevices), device: 0)
        var message = WAMessage()
        message.conversation = text
        let id = makeMessageID()
        for device in devices {
            write(
                message.wireBytes, id: id, by: author, to: device,
                attributes: ["sender_pn": .jid(accounts[author.account].phoneJID()), "notify": "Simulator"])
        }
        return id
    }

    /// As phones make them: 16 random bytes in hex.
    private func makeMessageID() -> String { "3A" + Hex.encode(random.bytes(9)).uppercased() }

    private mutating func write(
        _ plaintext: [UInt8], id: String, by phone: DeviceReference, to device: DeviceReference, attributes: [String: AttributeValue]
    ) {
        if written[id] == nil {
            writtenOrder.append(id)
            if writtenOrder.count > 2 * Self.writtenLimit {
                for old in writtenOrder.prefix(Self.writtenLimit) { written[old] = nil }
                writtenOrder.removeFirst(Self.writtenLimit)
            }
        }
        written[id] = WrittenMessage(phone: phone, plaintext: plaintext, attributes: attributes)
        encrypt(id, for: device, retryCount: nil)
    }

    /// Encrypts a written message for one linked device, with a bundle of the server's where there is no session yet.
    private mutating func encrypt(_ id: String, for device: DeviceReference, retryCount: String?) {
        guard let message = written[id] else { return }
        let (phone, random) = (message.phone, random)
        let address = accounts[device.account].signalAddress(device.device)
        do {
            // In place: a copy of the phone would copy all its sessions.
            if accounts[phone.account].simulated[phone.device]?.hasSession(with: address) != true {
                guard let bundle = takeBundle(of: device) else { return }
                try accounts[phone.account].simulated[phone.device]?.begin(bundle, with: address, random: random)
            }
            let padding = random.bytes(1).first ?? 1
            let padded = MessagePadding.pad(message.plaintext, random: padding)
            guard let ciphertext = try accounts[phone.account].simulated[phone.device]?.encrypt(padded, to: address) else { return }
            var stanza = Node(
                "message",
                [
                    "from": .jid(accounts[phone.account].lidJID()), "id": .string(id), "t": .number(now), "type": "text",
                ],
                children: [
                    Node(
                        "enc", ["v": "2", "type": .string(ciphertext.kind.rawValue), "count": retryCount.map { .string($0) }],
                        bytes: ciphertext.bytes)
                ])
            stanza.attributes.merge(message.attributes) { own, _ in own }
            enqueue(stanza, for: device)
        } catch {
            counters.decryptFailures += 1
        }
    }

    /// A real client could not read what a simulated phone wrote: a new session, from the keys it sent or a fresh bundle, and once more.
    mutating func rewrite(_ id: String, _ stanza: Node, for device: DeviceReference) {
        guard let message = written[id], let count = stanza.child("retry")?.uint("count"), count <= 5 else { return }
        let address = accounts[device.account].signalAddress(device.device)
        let offered = stanza.child("keys").flatMap { Self.bundle(registration: stanza.child("registration"), keys: $0) }
        guard let bundle = offered ?? takeBundle(of: device) else { return }
        do {
            let random = random
            try accounts[message.phone.account].simulated[message.phone.device]?.begin(bundle, with: address, random: random)
        } catch {
            return
        }
        encrypt(id, for: device, retryCount: String(count))
    }
}

/// The zlib format (RFC 1950) without compression: stored blocks, for payloads that a client must be able to inflate.
enum Zlib {
    static func stored(_ bytes: [UInt8]) -> [UInt8] {
        var output: [UInt8] = [0x78, 0x01]
        var rest = bytes[...]
        repeat {
            let block = rest.prefix(0xFFFF)
            rest = rest.dropFirst(block.count)
            let length = UInt16(block.count)
            output.append(rest.isEmpty ? 1 : 0)
            for value in [length, ~length] { output += [UInt8(value & 0xFF), UInt8(value >> 8)] }
            output += block
        } while !rest.isEmpty
        let checksum = adler32(bytes)
        return output + checksum.bytes(4)
    }

    private static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in bytes {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return b << 16 | a
    }
}
