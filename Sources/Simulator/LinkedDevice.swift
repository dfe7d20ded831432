import Primitives
import SignalProtocol
import WhatsAppWire

/// A companion that a real client plays: what the server knows about it, and what waits for it.
struct LinkedDevice: Sendable {
    let keyIndex: UInt32
    /// Who may log in as this device.
    let noiseKey: PublicKey
    let identityKey: PublicKey
    let name: String
    var registrationID: UInt32
    var signedPreKey: SignedPreKey
    /// The account record that the phone and the companion signed.
    let record: [UInt8]
    private var preKeys: [(id: UInt32, key: PublicKey)] = []
    private var firstPreKey = 0

    var connection: Int?
    /// Queued stanzas are held back until the client has sent its active IQ.
    var isActive = false
    /// Whether the phone has sent its messages for a new companion.
    var isGreeted = false
    var queue = StanzaQueue()
    var peerReceipts: [String: Int] = [:]

    struct SignedPreKey: Sendable {
        var id: UInt32
        var key: PublicKey
        var signature: [UInt8]
    }

    init(keyIndex: UInt32, registration: Registration, record: [UInt8]) {
        self.keyIndex = keyIndex
        noiseKey = registration.noiseKey
        identityKey = registration.identityKey
        name = registration.name
        registrationID = registration.registrationID
        signedPreKey = registration.signedPreKey
        self.record = record
    }

    var preKeyCount: Int { preKeys.count - firstPreKey }

    /// Keys that the client uploaded. An id that is still there keeps its place.
    mutating func store(_ keys: [(id: UInt32, key: PublicKey)]) {
        preKeys.removeFirst(firstPreKey)
        firstPreKey = 0
        let known = Set(preKeys.map(\.id))
        preKeys += keys.filter { !known.contains($0.id) }
    }

    /// What the server hands out; takes a one-time prekey away for good.
    mutating func bundle() -> PreKeyBundle {
        var bundle = PreKeyBundle(
            registrationID: registrationID, identityKey: identityKey, signedPreKeyID: signedPreKey.id, signedPreKey: signedPreKey.key,
            signature: signedPreKey.signature)
        if firstPreKey < preKeys.count {
            bundle.preKeyID = preKeys[firstPreKey].id
            bundle.preKey = preKeys[firstPreKey].key
            firstPreKey += 1
        }
        return bundle
    }
}

/// Stanzas that a client has not acknowledged, in order. The server sends them again after each login.
struct StanzaQueue: Sendable {
    private struct Entry: Sendable {
        var order: Int
        var stanza: Node
    }
    /// Keyed by what an ack repeats of its stanza; a second stanza of the same key waits behind the first.
    private struct Key: Hashable, Sendable {
        var tag: String
        var id: String
    }
    private var entries: [Key: [Entry]] = [:]
    private var nextOrder = 0
    private(set) var count = 0
    /// Beyond it the oldest of nobody is dropped but the new one refused, as a full mailbox would.
    static let limit = 100_000

    mutating func append(_ stanza: Node) {
        guard count < Self.limit, let id = stanza.string("id") else { return }
        entries[Key(tag: stanza.tag, id: id), default: []].append(Entry(order: nextOrder, stanza: stanza))
        nextOrder += 1
        count += 1
    }

    /// Takes away the stanza of this class and id whose `from` the client answered; the oldest one when none matches.
    mutating func acknowledge(tag: String, id: String, from: String?) {
        let key = Key(tag: tag, id: id)
        guard var waiting = entries[key], !waiting.isEmpty else { return }
        let index = waiting.firstIndex { $0.stanza.string("from") == from } ?? 0
        waiting.remove(at: index)
        entries[key] = waiting.isEmpty ? nil : waiting
        count -= 1
    }

    var inOrder: [Node] { entries.values.joined().sorted { $0.order < $1.order }.map(\.stanza) }
}
