import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Primitives
import SignalProtocol
import WhatsAppWire

/// A scripted client of few lines over the codec and Signal rooms; used by one task at a time.
final class RawClient {
    struct Keys {
        let noise: PrivateKey
        let identity: SignalIdentity
        let signedPreKey: SignedPreKeyPair
        let secret: [UInt8]
        let preKeys: [PreKeyPair]
    }

    enum Failure: Error { case closed, unexpected(String) }

    let keys: Keys
    let random = SystemRandom()
    var account: PairedAccount?
    var sessions: [SignalAddress: SessionRecord] = [:]
    private var channel: any Channel
    private var incoming: AsyncStream<[UInt8]>.Iterator
    private var reader = FrameReader()
    private var noise: WireChannel?
    private var nextID = 1

    static func makeKeys() -> Keys {
        let random = SystemRandom()
        let identity = SignalIdentity(keyPair: PrivateKey(random: random), registrationID: 4711)
        return Keys(
            noise: PrivateKey(random: random), identity: identity,
            signedPreKey: .make(id: 1, identity: identity.keyPair, random: random), secret: random.bytes(32),
            preKeys: (1...30).map { .make(id: $0, random: random) })
    }

    private init(keys: Keys, account: PairedAccount?, channel: any Channel, incoming: AsyncStream<[UInt8]>) {
        self.keys = keys
        self.account = account
        self.channel = channel
        self.incoming = incoming.makeAsyncIterator()
    }

    /// Opens the WebSocket only.
    static func open(port: Int, keys: Keys = makeKeys(), account: PairedAccount? = nil) async throws -> RawClient {
        let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        let upgrade: EventLoopFuture<any Channel> = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOTypedWebSocketClientUpgrader<any Channel>(
                        maxFrameSize: 1 << 24,
                        upgradePipelineHandler: { channel, _ in
                            channel.eventLoop.makeCompletedFuture {
                                try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                                return channel
                            }
                        })
                    let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/ws/chat", headers: ["Host": "localhost"])
                    return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
                        configuration: .init(
                            upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                                upgradeRequestHead: head, upgraders: [upgrader],
                                notUpgradingCompletionHandler: { channel in channel.eventLoop.makeFailedFuture(Failure.closed) })))
                }
            }
        return RawClient(keys: keys, account: account, channel: try await upgrade.get(), incoming: stream)
    }

    /// Opens, and goes through the handshake with a registration or login payload.
    static func connect(port: Int, root: PublicKey, keys: Keys = makeKeys(), account: PairedAccount? = nil) async throws -> RawClient {
        let client = try await open(port: port, keys: keys, account: account)
        var initiator = NoiseInitiator(staticKey: keys.noise, ephemeral: PrivateKey(random: client.random), rootKey: root)
        try await client.sendRaw(Frame.intro + Frame.encode(initiator.hello()))
        let payload: [UInt8]
        if let account {
            payload = try ClientPayload.login(account.jid, version: .known, profile: DeviceProfile(name: "Raw"))
        } else {
            payload = ClientPayload.registration(
                .init(
                    registrationID: keys.identity.registrationID, identity: keys.identity.keyPair.publicKey, signedPreKeyID: 1,
                    signedPreKey: keys.signedPreKey.publicKey, signature: keys.signedPreKey.signature),
                version: .known, profile: DeviceProfile(name: "Raw"))
        }
        let (message, channel) = try initiator.finish(
            serverHello: try await client.frame(), clientPayload: payload, now: Int64(Date().timeIntervalSince1970))
        client.noise = channel
        try await client.sendRaw(Frame.encode(message))
        return client
    }

    // MARK: Stanzas

    func sendRaw(_ bytes: [UInt8], opcode: WebSocketOpcode = .binary, fin: Bool = true) async throws {
        try await channel.writeAndFlush(WebSocketFrame(fin: fin, opcode: opcode, maskKey: .random(), data: ByteBuffer(bytes: bytes)))
    }

    func seal(_ stanza: Node) throws -> [UInt8] {
        guard let sealed = try noise?.seal(try NodeCodec.encode(stanza)) else { throw Failure.closed }
        return Frame.encode(sealed)
    }

    func send(_ stanza: Node) async throws { try await sendRaw(try seal(stanza)) }

    private func frame() async throws -> [UInt8] {
        while true {
            if let frame = try reader.next() { return frame }
            guard let bytes = await incoming.next() else { throw Failure.closed }
            reader.append(bytes)
        }
    }

    func next() async throws -> Node {
        let frame = try await frame()
        guard let plaintext = try noise?.open(frame) else { throw Failure.closed }
        return try NodeCodec.decode(frame: plaintext)
    }

    /// The next stanza that fits; others are passed over, messages, receipts and notifications acknowledged.
    func next(_ tag: String, where fits: (Node) -> Bool = { _ in true }) async throws -> Node {
        while true {
            let stanza = try await next()
            if ["receipt", "notification", "message"].contains(stanza.tag) {
                try await send(
                    Node("ack", ["class": .string(stanza.tag), "id": stanza.attributes["id"], "to": stanza.attributes["from"]]))
            }
            if stanza.tag == tag, fits(stanza) { return stanza }
        }
    }

    func request(_ type: String, _ xmlns: String, _ children: [Node]) async throws -> Node {
        let id = "raw.\(nextID)"
        nextID += 1
        try await send(
            Node("iq", ["to": .jid(.server), "type": .string(type), "xmlns": .string(xmlns), "id": .string(id)], children: children))
        return try await next("iq") { $0.string("id") == id }
    }

    /// True when the server has closed.
    func isClosed() async -> Bool {
        while await incoming.next() != nil {}
        return true
    }

    func close() async throws { try await channel.close() }

    // MARK: What a client does

    func uploadPreKeys() async throws {
        func key(_ pair: PreKeyPair) -> Node {
            Node("key", children: [Node("id", bytes: Self.bytes(pair.id, 3)), Node("value", bytes: pair.publicKey.bytes)])
        }
        let signed = Node(
            "skey",
            children: [
                Node("id", bytes: Self.bytes(1, 3)), Node("value", bytes: keys.signedPreKey.publicKey.bytes),
                Node("signature", bytes: keys.signedPreKey.signature),
            ])
        let answer = try await request(
            "set", "encrypt",
            [
                Node("registration", bytes: Self.bytes(keys.identity.registrationID, 4)), Node("type", bytes: [5]),
                Node("identity", bytes: keys.identity.keyPair.publicKey.bytes), Node("list", children: keys.preKeys.map(key)), signed,
            ])
        guard answer.string("type") == "result" else { throw Failure.unexpected("prekey upload") }
    }

    static func bytes(_ value: UInt32, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * (count - 1 - $0))) } }

    static func number(_ node: Node?) -> UInt32 { (node?.contentBytes ?? []).reduce(0) { $0 << 8 | UInt32($1) } }

    /// The LID of a number, nil if it has none or is not on WhatsApp.
    func resolve(_ number: String) async throws -> JID? {
        let answer = try await request(
            "get", "usync",
            [
                Node(
                    "usync", ["sid": "s", "mode": "query", "last": "true", "index": "0", "context": "interactive"],
                    children: [
                        Node("query", children: [Node("contact", ["addressing_mode": "lid"])]),
                        Node("list", children: [Node("user", children: [Node("contact", text: "+\(number)@c.us")])]),
                    ])
            ])
        let user = answer.child("usync")?.child("list")?.child("user")
        guard user?.child("contact")?.string("type") == "in", let jid = user?.jid("jid"), jid.server == .lid else { return nil }
        return jid
    }

    func devices(_ users: [JID]) async throws -> [JID] {
        let answer = try await request(
            "get", "usync",
            [
                Node(
                    "usync", ["sid": "t", "mode": "query", "context": "message"],
                    children: [
                        Node("query", children: [Node("devices", ["version": "2"])]),
                        Node("list", children: users.map { Node("user", ["jid": .jid($0)]) }),
                    ])
            ])
        return (answer.child("usync")?.child("list")?.children ?? []).flatMap { user -> [JID] in
            guard let jid = user.jid("jid") else { return [] }
            return (user.child("devices")?.child("device-list")?.children ?? []).map { jid.withDevice(UInt16($0.uint("id") ?? 0)) }
        }
    }

    func begin(_ devices: [JID]) async throws {
        let answer = try await request(
            "get", "encrypt", [Node("key", children: devices.map { Node("user", ["jid": .jid($0), "reason": "identity"]) })])
        for user in answer.child("list")?.children ?? [] {
            guard let jid = user.jid("jid"), let skey = user.child("skey") else { continue }
            let bundle = PreKeyBundle(
                registrationID: Self.number(user.child("registration")), identityKey: try PublicKey(user.child("identity")?.contentBytes ?? []),
                signedPreKeyID: Self.number(skey.child("id")), signedPreKey: try PublicKey(skey.child("value")?.contentBytes ?? []),
                signature: skey.child("signature")?.contentBytes ?? [], preKeyID: user.child("key").map { Self.number($0.child("id")) },
                preKey: try user.child("key").map { try PublicKey($0.child("value")?.contentBytes ?? []) })
            var record = SessionRecord()
            try SessionCipher.begin(bundle, own: keys.identity, record: &record, random: random)
            sessions[Self.address(jid)] = record
        }
    }

    static func address(_ jid: JID) -> SignalAddress { SignalAddress(name: jid.signalName, device: UInt32(jid.device)) }

    func encrypt(_ plaintext: [UInt8], for jid: JID, count: Int? = nil) throws -> Node {
        var record = sessions[Self.address(jid)] ?? SessionRecord()
        let ciphertext = try SessionCipher.encrypt(MessagePadding.pad(plaintext, random: 3), own: keys.identity, record: &record)
        sessions[Self.address(jid)] = record
        return Node(
            "enc", ["v": "2", "type": .string(ciphertext.kind.rawValue), "count": count.map { .number($0) }], bytes: ciphertext.bytes)
    }

    var identityNode: Node { Node("device-identity", bytes: account?.accountRecord ?? []) }

    /// A text for all given devices but this one.
    func message(_ text: String, id: String, to chat: JID, devices: [JID]) throws -> Node {
        guard let account else { throw Failure.closed }
        var message = WAMessage()
        message.conversation = text
        var copy = WAMessage()
        copy.deviceSentMessage.destinationJid = chat.description
        copy.deviceSentMessage.message = message
        let nodes = try devices.filter { $0 != account.lid }.map { jid in
            let plaintext = jid.user == account.lid.user ? copy.wireBytes : message.wireBytes
            return Node("to", ["jid": .jid(jid)], children: [try encrypt(plaintext, for: jid)])
        }
        return Node(
            "message", ["id": .string(id), "to": .jid(chat), "type": "text"], children: [Node("participants", children: nodes), identityNode])
    }
}

/// Hands the bytes of binary messages on.
private final class Collector: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    private let continuation: AsyncStream<[UInt8]>.Continuation

    init(_ continuation: AsyncStream<[UInt8]>.Continuation) { self.continuation = continuation }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        if frame.opcode == .binary { continuation.yield(Array(frame.data.readableBytesView)) }
    }

    func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
