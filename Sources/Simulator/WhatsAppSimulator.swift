package import Logging
package import Primitives

/// A local server that speaks WhatsApp's real wire protocol to any client, ours or an independent one, and plays every phone behind it.
///
///     let simulator = try await WhatsAppSimulator.start(logger: logger)
///     try simulator.addRecipient("15550100007", devices: 3)
///     let device = try simulator.scan(qr: text, number: "15550100001")     // a client shows `text`, the simulated phone links it
///     let message = await simulator.nextMessage()                          // as a recipient's device decrypted it
///     await simulator.stop()
///
/// It shares the codec and the Signal room with the client and nothing else. Recipients need no preparation: the first question about a number makes
/// its user, who behaves as the number's last four digits say (`RecipientBehaviour.init(number:)`). All state is in memory and ends with the process;
/// with a `seed` the root key, LIDs and account keys are the same after a restart. The same verbs exist over HTTP (`Sources/gateway/Docs/simulator.md`).
package final class WhatsAppSimulator: Sendable {
    let engine: Engine
    private let server: SimulatorServer

    /// The public key of the root that signs the server's Noise certificate: what clients must be configured with.
    package let rootKey: PublicKey
    /// `ws://127.0.0.1:PORT/ws/chat`.
    package let webSocketURL: String
    /// `wss://…/ws/chat`, if a certificate was configured.
    package let secureWebSocketURL: String?
    /// `http://127.0.0.1:PORT`; append `/control/…`.
    package let controlURL: String

    /// Binds the ports and serves until `stop()`.
    /// - Throws: an address that cannot be bound, a certificate that cannot be read, a seed that is not 32 bytes.
    package static func start(configuration: Configuration = Configuration(), logger: Logger) async throws -> WhatsAppSimulator {
        let engine = try Engine(configuration: configuration, logger: logger)
        let server = try await SimulatorServer.start(engine: engine, configuration: configuration)
        return WhatsAppSimulator(engine: engine, server: server, host: configuration.host)
    }

    private init(engine: Engine, server: SimulatorServer, host: String) {
        self.engine = engine
        self.server = server
        rootKey = engine.identity.rootKey
        webSocketURL = "ws://\(host):\(server.port)/ws/chat"
        secureWebSocketURL = server.securePort.map { "wss://\(host):\($0)/ws/chat" }
        controlURL = "http://\(host):\(server.port)"
    }

    /// Closes every connection and returns when all threads and timers are gone. A second call does nothing and returns at once.
    package func stop() async {
        await server.stop()
        await engine.stop()
    }

    // MARK: Recipients

    /// Makes the user of a number, or sets devices and behaviour of one that exists. `devices` counts the phone.
    /// - Parameter number: E.164, with or without its plus.
    /// - Throws: `invalidNumber`, and `tooManyDevices` above 100.
    @discardableResult
    package func addRecipient(_ number: String, devices: Int? = nil, behaviour: RecipientBehaviour? = nil) throws -> SimulatedUser {
        try engine.withState { state throws(SimulatorError) in try state.addRecipient(number, devices: devices, behaviour: behaviour) }
    }

    /// Gives a user one more simulated companion, without telling anybody unless `notify`: senders' device lists are stale then.
    /// - Returns: the device's JID under its LID.
    @discardableResult
    package func addDevice(_ number: String, notify: Bool = false) throws -> String {
        try engine.withState { state throws(SimulatorError) in try state.addDevice(number, notify: notify) }
    }

    /// How a recipient answers from now on.
    package func setBehaviour(_ behaviour: RecipientBehaviour, of number: String) throws {
        try engine.withState { state throws(SimulatorError) in try state.setBehaviour(behaviour, of: number) }
    }

    // MARK: Senders. `sender` is a number (all its linked devices) or the JID of one device, under its number or its LID.

    /// How the server treats a sender's connections; nil for all senders that have none of their own.
    package func setBehaviour(_ behaviour: TrafficBehaviour, sender: String? = nil) throws {
        try engine.withState { state throws(SimulatorError) in try state.setBehaviour(behaviour, sender: sender) }
    }

    /// The phone of `number` (a fresh one when nil) scans the QR text that a client shows.
    ///
    /// Returns once `pair-success` is under way; the device stands in `phones` when the client has signed.
    /// - Throws: `invalidCode` for a text that is no QR, or one that no connection waits with.
    @discardableResult
    package func scan(qr: String, number: String? = nil) throws -> PairedDevice {
        try engine.withState { state throws(SimulatorError) in try state.scan(qr: qr, number: number) }
    }

    /// The phone's owner types the 8 characters of a pairing code; a dash does not matter.
    /// - Throws: `invalidCode` when no client asked for this number, or the code cannot be one.
    package func enterCode(_ code: String, number: String) throws {
        try engine.withState { state throws(SimulatorError) in try state.enterCode(code, number: number) }
    }

    /// Closes a sender's connections: without a code as a broken line, else with `<stream:error code>`.
    package func disconnect(sender: String, code: Int? = nil) throws {
        try engine.withState { state throws(SimulatorError) in try state.disconnect(sender: sender, code: code) }
    }

    /// As if the same credentials connected elsewhere: `<conflict type="replaced"/>`, then the close.
    package func replace(sender: String) throws {
        try engine.withState { state throws(SimulatorError) in try state.replace(sender: sender) }
    }

    /// The phone removes the linked device: 401 with `device_removed` now, `<failure reason="401"/>` at every later login.
    package func unlink(sender: String) throws {
        try engine.withState { state throws(SimulatorError) in try state.unlink(sender: sender) }
    }

    /// A simulated recipient writes to all linked devices of a sender.
    /// - Returns: the message id.
    @discardableResult
    package func inbound(from number: String, to sender: String, text: String) throws -> String {
        try engine.withState { state throws(SimulatorError) in try state.inbound(from: number, to: sender, text: text) }
    }

    // MARK: What happened

    /// The next message that a recipient's device shows for the first time, in order; nil after `stop()`.
    ///
    /// One per message, not per device, and none for the copies on the sender's own phone. Kept until asked for, the newest 8192.
    package func nextMessage() async -> ReceivedMessage? {
        for await message in engine.shown { return message }
        return nil
    }

    /// What arrived at the devices, oldest first: one entry per (sender, message id, device).
    /// - Parameters:
    ///   - sequence: only entries after this `ReceivedMessage.sequence`, for paging.
    ///   - limit: at most so many.
    package func received(
        id: String? = nil, number: String? = nil, sender: String? = nil, after sequence: Int = 0, limit: Int = 10_000
    ) -> [ReceivedMessage] {
        engine.withState { state in state.history.received(id: id, number: number, sender: sender, after: sequence, limit: limit) }
    }

    /// When the first copy of a message reached the server, by its WhatsApp id: of those not forgotten yet, at least the newest 10,000 or so.
    package var arrivals: [String: ContinuousClock.Instant] {
        engine.withState { state in Dictionary(state.tracks.map { ($0.key.id, $0.value.arrivedAt) }) { min($0, $1) } }
    }

    package var counters: Counters { engine.withState { state in state.currentCounters } }

    /// Every phone with linked devices.
    package var phones: [SimulatedPhone] { engine.withState { state in state.phones } }

    /// Every phone with linked devices, once the condition holds. Checked now, after each stanza of a client, and when a connection comes or goes.
    ///
    ///     _ = try await simulator.phones { $0.first?.linkedDevices.first?.queued == 0 }       // everything is acknowledged
    ///
    /// - Throws: `CancellationError` when the task is cancelled, or the simulator stopped, before that.
    @discardableResult
    package func phones(until isMet: @Sendable ([SimulatedPhone]) -> Bool) async throws -> [SimulatedPhone] {
        while true {
            let (phones, change) = engine.withState { state in (state.phones, state.nextChange()) }
            if isMet(phones) { return phones }
            guard let change else { throw CancellationError() }
            for await _ in change {}
            try Task.checkCancellation()
        }
    }
}
