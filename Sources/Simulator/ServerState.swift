import Foundation
import Logging
import Primitives
import SignalProtocol
import WhatsAppWire

/// Everything the server knows, as one value behind the engine's lock. Each verb and each stanza is one call that never waits; what leaves goes to the
/// connections' ports at once, so the order of calls is the order on the wire.
///
/// The parts: `+Connections` login and close, `+Pairing` QR and code, `+Requests` and `+Queries` the iqs, `+Messages` the relay, `+Receipts`,
/// `+Devices` what simulated devices do with a message, `+Phones` what simulated phones write by themselves, `+Verbs` the control verbs.
struct ServerState: Sendable {
    let configuration: WhatsAppSimulator.Configuration
    let seed: [UInt8]
    let timers: AsyncStream<Timer>.Continuation
    let shown: AsyncStream<ReceivedMessage>.Continuation

    var accounts: [SimulatedAccount] = []
    var accountsByNumber: [String: Int] = [:]
    var accountsByLID: [String: Int] = [:]
    /// The accounts with linked devices: few among many recipients.
    var linkedAccounts: Set<Int> = []
    /// Where the search for a number that nobody has yet goes on.
    var nextFreshNumber = 10_100

    var connections: [Int: Connection] = [:]
    var nextConnection = 1
    /// Pairing references of QR codes that are being shown.
    var references: [String: Int] = [:]

    var history: History
    var tracks: [MessageKey: MessageTrack] = [:]
    var trackOrder: [MessageKey] = []
    /// What simulated phones wrote, for retries.
    var written: [String: WrittenMessage] = [:]
    var writtenOrder: [String] = []

    var counters = Counters()
    var serverBehaviour = TrafficBehaviour()
    var senderBehaviours: [Int: TrafficBehaviour] = [:]
    var nextStanzaID = 1
    private var isStopped = false
    /// Who waits for something to change; each is told once.
    private var waiters: [AsyncStream<Void>.Continuation] = []

    /// One message as the server tells them apart: an id counts per sender and chat.
    struct MessageKey: Hashable, Sendable {
        var sender: Int
        var chat: Int
        var id: String
    }

    /// What became of a message so far.
    struct MessageTrack: Sendable {
        var origin: DeviceReference
        /// Whether a try was accepted, so that the next one is a duplicate.
        var isAccepted = false
        /// Whether `nextMessage` has been told.
        var isAnnounced = false
        var refusals = 0
        var lostAcks = 0
        /// When its first copy reached the server.
        var arrivedAt = ContinuousClock.now
        var delivered: Set<DeviceReference> = []
        var retryRequests: [DeviceReference: Int] = [:]
    }

    /// Something that happens later, by the injected clock.
    struct Timer: Sendable {
        enum Action: Sendable {
            case deliver(Node, DeviceReference)
            case send(Node, connection: Int)
            case expireCodes(connection: Int)
        }
        var delay: Duration
        var action: Action
    }

    init(
        configuration: WhatsAppSimulator.Configuration, seed: [UInt8], timers: AsyncStream<Timer>.Continuation,
        shown: AsyncStream<ReceivedMessage>.Continuation
    ) {
        self.configuration = configuration
        self.seed = seed
        self.timers = timers
        self.shown = shown
        history = History(limit: configuration.historyLimit)
    }

    var random: any RandomSource { configuration.random }
    /// Unix seconds.
    var now: Int64 { Int64(configuration.now().timeIntervalSince1970) }

    mutating func makeStanzaID() -> String {
        defer { nextStanzaID += 1 }
        return "sim-\(nextStanzaID)"
    }

    func after(_ delay: Duration, _ action: Timer.Action) { timers.yield(Timer(delay: delay, action: action)) }

    mutating func fire(_ action: Timer.Action) {
        switch action {
        case .deliver(let stanza, let device): enqueue(stanza, for: device)
        case .send(let stanza, let connection): connections[connection]?.port.send(stanza)
        case .expireCodes(let connection): expireCodes(connection)
        }
    }

    // MARK: Waiting

    /// A stream without elements that ends with the next change; nil once the simulator stopped.
    mutating func nextChange() -> AsyncStream<Void>? {
        guard !isStopped else { return nil }
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        waiters.append(continuation)
        return stream
    }

    mutating func changed() {
        guard !waiters.isEmpty else { return }
        for waiter in waiters { waiter.finish() }
        waiters = []
    }

    mutating func stop() {
        isStopped = true
        changed()
    }

    // MARK: Accounts

    func account(of jid: JID) -> Int? {
        switch jid.server {
        case .lid, .hostedLID: accountsByLID[jid.user]
        case .phone, .hosted, .legacy: accountsByNumber[jid.user]
        default: nil
        }
    }

    /// The account behind an address that a client wrote to; a valid number nobody asked about yet gets its user now.
    mutating func makeAccount(of jid: JID) -> Int? {
        if let known = account(of: jid) { return known }
        guard jid.server == .phone || jid.server == .legacy, let number = PhoneNumber.parse(jid.user) else { return nil }
        return makeAccount(number: number, devices: configuration.recipientDevices)
    }

    /// The account of a number, made if need be with so many simulated devices.
    mutating func makeAccount(number: String, devices: Int) -> Int {
        if let known = accountsByNumber[number] { return known }
        let material = derive("account/\(number)", count: 16)
        var lid = material[0..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % 900_000_000_000_000 + 100_000_000_000_000
        while accountsByLID[String(lid)] != nil { lid += 1 }
        let rawID = material[8..<12].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
        let index = accounts.count
        accounts.append(
            SimulatedAccount(
                number: number, lid: String(lid), accountKey: deriveKey("identity/\(number)/0"), rawID: rawID,
                behaviour: RecipientBehaviour(number: number, slowDelay: configuration.slowDelay)))
        accountsByNumber[number] = index
        accountsByLID[String(lid)] = index
        for _ in 0..<max(1, devices) { addSimulatedDevice(to: index) }
        return index
    }

    @discardableResult
    mutating func addSimulatedDevice(to index: Int) -> UInt16 {
        let number = accounts[index].reserveDevice()
        let key = number == 0 ? accounts[index].accountKey : deriveKey("identity/\(accounts[index].number)/\(number)")
        let signedKey = deriveKey("prekey/\(accounts[index].number)/\(number)")
        let registration = derive("registration/\(accounts[index].number)/\(number)", count: 2)
        let identity = SignalIdentity(keyPair: key, registrationID: (UInt32(registration[0]) << 8 | UInt32(registration[1])) % 16_380 + 1)
        let signature = key.signature(for: signedKey.publicKey.typed, random: random)
        accounts[index].insert(
            SimulatedDevice(
                keyIndex: UInt32(number), identity: identity, signedPreKey: SignedPreKeyPair(id: 1, privateKey: signedKey, signature: signature)),
            as: number)
        return number
    }

    private func derive(_ what: String, count: Int) -> [UInt8] {
        do { return try HKDF256.derive(seed, salt: [], info: Array(what.utf8), count: count) } catch { return random.bytes(count) }
    }

    private func deriveKey(_ what: String) -> PrivateKey {
        do { return try PrivateKey(derive(what, count: PrivateKey.length)) } catch { return PrivateKey(random: random) }
    }

    // MARK: Behaviour

    func behaviour(ofSender account: Int) -> TrafficBehaviour { senderBehaviours[account] ?? serverBehaviour }

    /// Changes the sender's own behaviour, or everybody's where it has none.
    mutating func changeBehaviour<Result>(ofSender account: Int, _ change: (inout TrafficBehaviour) -> Result) -> Result {
        if var own = senderBehaviours[account] {
            defer { senderBehaviours[account] = own }
            return change(&own)
        }
        return change(&serverBehaviour)
    }

    // MARK: Leaving stanzas

    /// Puts a stanza that must be acknowledged into a linked device's queue, and on the wire if the device takes stanzas now.
    mutating func enqueue(_ stanza: Node, for device: DeviceReference) {
        accounts[device.account].linked[device.device]?.queue.append(stanza)
        guard let linked = accounts[device.account].linked[device.device], linked.isActive, let connection = linked.connection else { return }
        connections[connection]?.port.send(stanza)
    }
}
