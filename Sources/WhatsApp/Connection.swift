import NIOCore
import NIOWebSocket
import Primitives
import SignalProtocol
import WhatsAppWire

/// What the client keeps of one connection.
struct Connection {
    let generation: UInt64
    let channel: any Channel
    var link: Link
    /// The keys offered for pairing; nil on a login.
    var pairing: PairingKeys?
    /// Unique per connection (protocol.md appendix B).
    let requestPrefix: String
    var lastRequest: UInt64 = 0
    /// Why it ends; the first reason stands.
    var end: LinkEnd?
    var lastWrite: EventLoopFuture<Void>?
    /// Stanzas whose handling takes time, in their order. Beyond its bound they are dropped unacknowledged: the server keeps and repeats them.
    var inbox: AsyncStream<Node>.Continuation?
    /// Receipts that nobody has taken yet, in their order; bounded as the inbox is.
    var receipts: [Node] = []
    var isTakingReceipts = false
    /// Frames that leave together; nil: each leaves at once.
    var held: [WebSocketFrame]?
    /// Reading has ended: nobody gets an answer any more.
    var isOver = false
    /// Whether the WebSocket message that is being received is binary; only those carry data.
    var isInBinaryMessage = false
    var hasShownLastCode = false
    var hasPaired = false
    var hasLoggedIn = false

    init(generation: UInt64, channel: any Channel, link: Link, pairing: PairingKeys?, requestPrefix: String) {
        self.generation = generation
        self.channel = channel
        self.link = link
        self.pairing = pairing
        self.requestPrefix = requestPrefix
    }

    mutating func openInbox() -> AsyncStream<Node> {
        let (stream, continuation) = AsyncStream.makeStream(of: Node.self, bufferingPolicy: .bufferingOldest(4_096))
        inbox = continuation
        return stream
    }
}

/// The fresh keys of one attempt to pair (protocol.md 5.2).
struct PairingKeys: Sendable {
    let noiseKey: PrivateKey
    let identity: SignalIdentity
    let signedPreKey: SignedPreKeyPair
    /// Authenticates the pairing; stands in the QR text.
    let advSecret: [UInt8]

    init(random: any RandomSource) {
        noiseKey = PrivateKey(random: random)
        let identityKey = PrivateKey(random: random)
        let number = random.bytes(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        identity = SignalIdentity(keyPair: identityKey, registrationID: number % 16_380 + 1)
        signedPreKey = SignedPreKeyPair.make(id: 1, identity: identityKey, random: random)
        advSecret = random.bytes(32)
    }

    var registration: ClientPayload.RegistrationKeys {
        ClientPayload.RegistrationKeys(
            registrationID: identity.registrationID, identity: identity.keyPair.publicKey, signedPreKeyID: signedPreKey.id,
            signedPreKey: signedPreKey.publicKey, signature: signedPreKey.signature)
    }
}

/// Permits handed out in the order in which they were asked for. Lives inside an actor.
struct Permits {
    private var free: Int
    private var waiters: [CheckedContinuation<Void, Never>] = []

    init(_ count: Int) { free = count }

    /// Takes a permit if there is one.
    mutating func take() -> Bool {
        guard free > 0 else { return false }
        free -= 1
        return true
    }

    mutating func wait(_ continuation: CheckedContinuation<Void, Never>) { waiters.append(continuation) }

    /// Gives a permit back: to who waits longest, or to nobody.
    mutating func giveBack() {
        if waiters.isEmpty {
            free += 1
        } else {
            waiters.removeFirst().resume()
        }
    }
}
