package import struct Foundation.Date
package import Logging
import NIOCore
import NIOWebSocket
package import Primitives
import Synchronization
import WhatsAppWire

/// One linked device of one WhatsApp account: pairs, connects, sends, reports receipts. It never reads anybody's messages.
///
///     let client = WhatsAppClient(configuration: configuration, dialer: dialer, store: store, observer: observer, logger: logger)
///     group.addTask { await client.run() }                              // pairs, logs in, reconnects; returns when all its tasks are gone
///     let ack = try await client.send(message) { preWire in … }         // `preWire` is committed before the first byte leaves
///     await client.stop()
///
/// The order that holds for every ciphertext: encrypt → commit → first byte → acknowledgement. All ratchet state comes from the store and goes
/// back through it; here is kept only what is on its way there.
package actor WhatsAppClient {
    package typealias Configuration = WhatsAppConfiguration

    let configuration: Configuration
    let store: any DeviceStore
    let observer: any DeviceObserver
    let random: any RandomSource
    let now: @Sendable () -> Date
    let logger: Logger
    private let dialer: Dialer
    private let clock: any Clock<Duration>

    /// The present connection, from dialled to closed.
    var connection: Connection?
    /// Of the last login or pairing; nil before.
    var credentials: DeviceCredentials?
    /// Logged in and active: messages may leave.
    var isReady = false
    var waits = WaitTable()
    /// Waits for somebody to wait for an answer.
    private var timeKeeper: CheckedContinuation<Void, Never>?
    /// Tickets of waits whose task was cancelled.
    private let canceledTickets = Mutex(Set<UInt64>())
    var retries = RetryPolicy()
    /// Decryption failures answered per peer message (protocol.md 12.5); at most 256 ids.
    var peerFailures: [String: Int] = [:]
    var isUploadingPreKeys = false
    /// Sends between their first step and their acknowledgement.
    private var sendsInFlight = 0
    private var isStopping = false
    private var isRunning = false
    private var finishWaiters: [CheckedContinuation<Void, Never>] = []
    private var sendWaiters: [CheckedContinuation<Void, Never>] = []
    private var lastState: ConnectionState?
    private var policy = ReconnectPolicy()
    private var attempt: DialAttempt?
    private var pairingRoundsDone = 0
    private var isLoggingOut = false
    /// Why the last connection that ended for a known reason did.
    private var lastEnd: LinkEnd?
    private var lastGeneration: UInt64 = 0
    var retryPermits = Permits(32)
    /// Held from "next prekey id" to "prekey stored": no id is used twice.
    var preKeyLock = Permits(1)
    /// Held from "load session" to "commit under way": one ratchet step at a time (protocol.md 9.9).
    var signalLock = Permits(1)
    /// What is on its way to the database.
    var advanced = AdvancedRecords()
    /// Bytes leave in the order of the ratchet's steps.
    var turns = WriteTurns()

    /// - Parameters:
    ///   - clock: measures every deadline and pause.
    ///   - now: judges certificates, bans and hours.
    package init(
        configuration: Configuration, dialer: Dialer, store: any DeviceStore, observer: any DeviceObserver, random: any RandomSource = SystemRandom(),
        clock: any Clock<Duration> = ContinuousClock(), now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) {
        self.configuration = configuration
        self.dialer = dialer
        self.store = store
        self.observer = observer
        self.random = random
        self.clock = clock
        self.now = now
        self.logger = logger
    }

    // MARK: Life

    /// Connects, pairs if there are no credentials, logs in and reconnects, until `stop()`, cancellation or a terminal state, which is reported.
    /// Returns when all tasks and the socket are gone. Called once.
    package func run() async {
        guard !isRunning else { return }
        isRunning = true
        await connectAgainAndAgain()
        // What was being sent may still be committing; the next client for this device begins after that.
        if sendsInFlight > 0 { await withCheckedContinuation { sendWaiters.append($0) } }
        isRunning = false
        for waiter in finishWaiters { waiter.resume() }
        finishWaiters = []
    }

    private func connectAgainAndAgain() async {
        while true {
            guard !isStopping, !Task.isCancelled else { return await report(.stopped) }
            let end = await connectOnce()
            logger.info("connection ended", metadata: ["error.code": "\(end.code)"])
            switch decide(after: end) {
            case .finish(let state): return await report(state)
            case .reconnect(let pause, let state):
                guard !isStopping, !Task.isCancelled else { continue }
                await report(state)
                await self.pause(pause)
            }
        }
    }

    /// Stops cleanly: no new sends, outstanding acknowledgements are waited for up to the configured time, then the connection is closed.
    /// Returns when `run()` is done. A second call waits for the same.
    /// - Parameter drains: false: nothing is waited for; the connection is closed at once.
    package func stop(drains: Bool = true) async {
        isStopping = true
        if drains, sendsInFlight > 0, waits.open(Self.drained) {
            _ = await outcome(of: Self.drained, within: configuration.stopTimeout)
            waits.close(Self.drained)
        }
        end(.stopped)
        attempt?.cancel()
        waits.resolve(Self.paused, .canceled)
        guard isRunning else { return }
        await withCheckedContinuation { finishWaiters.append($0) }
    }

    /// Removes this device from the account, erases its stored state and ends `run()`. Throws if the server refuses or does not answer;
    /// nothing is erased then.
    package func logOut() async throws {
        guard isReady, let credentials else { throw RequestFailure.notConnected }
        let removal = Node(
            "iq", ["to": .jid(.server), "type": "set", "xmlns": "md"],
            children: [Node("remove-companion-device", ["jid": .jid(credentials.jid), "reason": "user_initiated"])])
        isLoggingOut = true
        do throws(RequestFailure) {
            _ = try await request(removal, timeout: configuration.requestTimeout)
        } catch {
            // The server may be quicker to close than to answer.
            guard error == .disconnected, lastEnd == .streamError(code: 401, conflict: "device_removed") else {
                isLoggingOut = false
                throw error
            }
        }
        try await store.commit(DeviceChanges(erasesDevice: true))
        end(.loggedOut)
    }

    /// Whether a message may be sent right now.
    package var isConnected: Bool { isReady && !isStopping }

    // MARK: Waiting

    /// Waits for the server's answer to an open slot, `limit` at most and at most a quarter of a second longer. The slot stays open until it is
    /// closed. One timer serves all waits of a connection (``keepTime()``), and none runs while nobody waits.
    func answer(to key: String, within limit: Duration) async -> WaitTable.Outcome {
        let ticket = waits.makeTicket()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waits.park(key, ticket: ticket, until: .now + limit, continuation)
                timeKeeper?.resume()
                timeKeeper = nil
            }
        } onCancel: {
            canceledTickets.withLock { _ = $0.insert(ticket) }
        }
    }

    /// Ends the waits for answers whose time is over or whose task was cancelled, as long as the connection lives.
    private func keepTime() async {
        while !Task.isCancelled {
            guard waits.timed > 0 else {
                await withCheckedContinuation { timeKeeper = $0 }
                continue
            }
            let canceled = canceledTickets.withLock { canceled in
                defer { canceled = [] }
                return canceled
            }
            let now = ContinuousClock.now
            guard let next = waits.expire(now: now, canceled: canceled) else { continue }
            do { try await clock.sleep(for: min(next - now, Self.timeStep)) } catch { return }
        }
    }

    /// Waits for an open slot of this process's own, `limit` at most. The slot stays open until it is closed.
    func outcome(of key: String, within limit: Duration) async -> WaitTable.Outcome {
        let ticket = waits.makeTicket()
        async let _: Void = expire(key, ticket: ticket, after: limit)
        return await withCheckedContinuation { waits.park(key, ticket: ticket, $0) }
    }

    private func expire(_ key: String, ticket: UInt64, after limit: Duration) async {
        do {
            try await clock.sleep(for: limit)
            waits.expire(key, ticket: ticket, .timedOut)
        } catch {
            // Cancelled: either the answer came, and the ticket is no longer valid, or the asking task was cancelled.
            waits.expire(key, ticket: ticket, .canceled)
        }
    }

    /// False when cancelled.
    func sleep(_ duration: Duration) async -> Bool {
        do {
            try await clock.sleep(for: duration)
            return !Task.isCancelled
        } catch {
            return false
        }
    }

    /// Waits before the next attempt; `stop()` and cancellation end it at once.
    private func pause(_ duration: Duration) async {
        guard duration > .zero, waits.open(Self.paused) else { return }
        _ = await outcome(of: Self.paused, within: duration)
        waits.close(Self.paused)
    }

    /// Counts a send as in flight until ``sendEnded()``; false when no send may begin.
    func sendBegan() -> Bool {
        guard isConnected else { return false }
        sendsInFlight += 1
        return true
    }

    func sendEnded() {
        sendsInFlight -= 1
        guard sendsInFlight == 0 else { return }
        waits.resolve(Self.drained, .canceled)
        for waiter in sendWaiters { waiter.resume() }
        sendWaiters = []
    }

    private static let timeStep: Duration = .milliseconds(250)
    private static let drained = "client:drained"
    private static let paused = "client:paused"

    // MARK: Connecting

    private func decide(after end: LinkEnd) -> ReconnectPolicy.Decision {
        if end == .codesUsedUp {
            pairingRoundsDone += 1
            if pairingRoundsDone < configuration.pairingRounds { return .reconnect(after: .zero, state: .disconnected(code: end.code)) }
        }
        let jitter = random.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return policy.next(after: end, jitter: jitter, now: now())
    }

    /// One connection from dial to close.
    private func connectOnce() async -> LinkEnd {
        await configuration.admission()
        guard !isStopping, !Task.isCancelled else { return .stopped }
        await report(.connecting)
        let link: Link
        let pairing: PairingKeys?
        do {
            (link, pairing) = try await makeLink()
        } catch {
            return .storeFailed
        }
        let dialled = DialAttempt()
        attempt = dialled
        guard !isStopping else { return .stopped }
        let socket: Dialer.Socket
        do {
            socket = try await withTaskCancellationHandler {
                try await dialer.dial(configuration.url, timeout: configuration.dialTimeout, attempt: dialled)
            } onCancel: {
                dialled.cancel()
            }
        } catch {
            attempt = nil
            return isStopping ? .stopped : .dialFailed(code: (error as? DialFailure)?.code ?? "network")
        }
        attempt = nil
        lastGeneration += 1
        connection = Connection(
            generation: lastGeneration, channel: socket.channel, link: link, pairing: pairing, requestPrefix: Hex.encode(random.bytes(2)))
        if isStopping { end(.stopped) }
        do {
            try await socket.executeThenClose { inbound in await serve(inbound) }
        } catch {
            // Closing a socket that is already closed.
        }
        isReady = false
        let closed = connection
        connection = nil
        waits.resolveAll(prefixes: [Self.requestKey, Self.ackKey], .disconnected)
        if closed?.hasPaired == true { return .paired }
        if isLoggingOut { return .loggedOut }
        if let end = closed?.end { return end }
        if Task.isCancelled { return .stopped }
        return closed?.hasShownLastCode == true ? .codesUsedUp : .closed
    }

    private func makeLink() async throws -> (Link, PairingKeys?) {
        credentials = try await store.credentials()
        let profile = DeviceProfile(name: configuration.deviceName)
        let ephemeral = PrivateKey(random: random)
        if let credentials {
            let payload = try ClientPayload.login(credentials.jid, version: configuration.version, profile: profile)
            return (Link(staticKey: credentials.noiseKey, ephemeral: ephemeral, rootKey: configuration.rootKey, payload: payload), nil)
        }
        let keys = PairingKeys(random: random)
        let payload = ClientPayload.registration(keys.registration, version: configuration.version, profile: profile)
        return (Link(staticKey: keys.noiseKey, ephemeral: ephemeral, rootKey: configuration.rootKey, payload: payload), keys)
    }

    /// Reads the connection to its end. Everything that takes time runs in child tasks, which end with it.
    private func serve(_ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>) async {
        guard let inbox = connection?.openInbox(), var hello = connection?.link.start() else { return }
        writeFrame(hello)
        hello = []
        await withDiscardingTaskGroup { group in
            group.addTask { await self.watchHandshake() }
            group.addTask { await self.keepTime() }
            group.addTask { await self.work(through: inbox) }
            do {
                for try await frame in inbound {
                    guard let jobs = received(frame) else { break }
                    for job in jobs { group.addTask { await self.perform(job) } }
                    if let write = connection?.lastWrite, connection?.channel.isWritable == false { try await write.get() }
                }
            } catch {
                // The network's end of the connection; what it means is decided by `connection.end`.
            }
            // Whoever waits for an answer must know before the child tasks are awaited, and nobody may begin to wait any more.
            isReady = false
            connection?.isOver = true
            waits.resolveAll(prefixes: [Self.requestKey, Self.ackKey], .disconnected)
            connection?.inbox?.finish()
            group.cancelAll()
            timeKeeper?.resume()
            timeKeeper = nil
        }
    }

    private func watchHandshake() async {
        guard await sleep(configuration.handshakeTimeout) else { return }
        if connection?.link.isOpen == false { end(.handshakeTimeout) }
    }

    /// Logged in for 60 s: earlier failures no longer count.
    func becameStable() { policy.becameStable() }

    // MARK: States

    func report(_ state: ConnectionState) async {
        guard state != lastState else { return }
        lastState = state
        await observer.stateChanged(state)
    }

    /// Ends the present connection for this reason, unless it already has one.
    func end(_ reason: LinkEnd) {
        guard connection != nil else { return }
        if connection?.end == nil {
            connection?.end = reason
            lastEnd = reason
        }
        connection?.channel.close(promise: nil)
    }

    static let requestKey = "iq:"
    static let ackKey = "ack:"
}
