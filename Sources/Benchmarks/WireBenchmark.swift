import Glibc
import Primitives
import SignalProtocol
import WhatsAppWire

/// What one message to four devices and one's own phone costs on one core between "devices known" and "bytes handed to the socket": five Signal
/// messages, the stanza, its frame. Everything else of a message's CPU time is waiting for others: commits, receipts, the API.
struct WireBenchmark {
    private static let copies = 5

    let bench: Workbench

    func run(into table: inout Table) throws {
        let random = SystemRandom()
        let own = SignalIdentity(keyPair: PrivateKey(random: random), registrationID: 7)
        let devices = (0..<Self.copies).map { JID.lid("123456789012345", device: UInt16($0)) }
        var sessions = try devices.map { _ in try establishedSession(own, random) }
        var channel = WireChannel(writeKey: random.bytes(32), readKey: random.bytes(32))
        let message = TextMessage(String(repeating: "Your order is on its way. ", count: 6), secret: random.bytes(32)).message
        let clock = ContinuousClock()
        bench.say("encrypting for \(Self.copies) devices")
        var count = 0
        var bytes = 0
        let before = Self.cpuTime()
        let end = clock.now + .milliseconds(bench.plan.decisionMilliseconds * 2)
        while clock.now < end {
            let plaintexts = [message.wireBytes, message.sent(to: devices[0]).wireBytes]
            var nodes: [Node] = []
            for (index, device) in devices.enumerated() {
                let padded = MessagePadding.pad(plaintexts[index == Self.copies - 1 ? 1 : 0], random: random.bytes(1).first ?? 0)
                let ciphertext = try SessionCipher.encrypt(padded, own: own, record: &sessions[index])
                nodes.append(
                    Node(
                        "to", ["jid": .jid(device)],
                        children: [Node("enc", ["v": "2", "type": .string(ciphertext.kind.rawValue)], bytes: ciphertext.bytes)]))
                // As it is sealed for the database.
                bytes += sessions[index].serialized().count
            }
            let stanza = Node(
                "message",
                ["id": "3EB0C431C26A1916E07A9B", "to": .jid(devices[0].bare), "type": "text", "peer_recipient_pn": .jid(.phone("6281310000010"))],
                children: [Node("participants", children: nodes)])
            bytes += Frame.encode(try channel.seal(try NodeCodec.encode(stanza))).count + ParticipantHash.phash(devices).utf8.count
            count += 1
        }
        guard bytes > 0 else { throw BenchmarkFailure("nothing was encrypted") }
        table.add(
            "encrypt for \(Self.copies) devices, stanza, frame: CPU per message", (Self.cpuTime() - before) * 1_000 / Double(count), "ms",
            target: "wire-cpu",
            .atMost(0.5))
    }

    /// A session in which both sides have spoken, so that its messages are short ones.
    private func establishedSession(_ own: SignalIdentity, _ random: SystemRandom) throws -> SessionRecord {
        let peer = SignalIdentity(keyPair: PrivateKey(random: random), registrationID: 9)
        let signed = SignedPreKeyPair.make(id: 1, identity: peer.keyPair, random: random)
        let bundle = PreKeyBundle(
            registrationID: peer.registrationID, identityKey: peer.keyPair.publicKey, signedPreKeyID: signed.id,
            signedPreKey: signed.publicKey, signature: signed.signature)
        var ours = SessionRecord()
        var theirs = SessionRecord()
        try SessionCipher.begin(bundle, own: own, record: &ours, random: random)
        let first = try SessionCipher.encrypt([1], own: own, record: &ours)
        _ = try SessionCipher.decrypt(
            preKeyMessage: first.bytes, own: peer, signedPreKeys: { $0 == signed.id ? signed : nil }, preKeys: { _ in nil }, record: &theirs,
            random: random)
        let answer = try SessionCipher.encrypt([2], own: peer, record: &theirs)
        _ = try SessionCipher.decrypt(message: answer.bytes, own: own, record: &ours, random: random)
        return ours
    }

    /// Seconds of this thread.
    private static func cpuTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
