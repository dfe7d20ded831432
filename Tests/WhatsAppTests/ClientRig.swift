import Logging
import Primitives
import Simulator
import Testing
import WhatsAppWire

@testable import WhatsApp

/// A simulator, one client with its store, and the phone that scans its codes.
struct ClientRig: Sendable {
    let simulator: WhatsAppSimulator
    let client: WhatsAppClient
    let store: MemoryDeviceStore
    let observer: RecordingObserver

    static let number = "15550100999"

    /// Runs `body` against a running client and stops everything afterwards.
    static func run(
        scanning number: String? = Self.number, configure: (inout WhatsAppConfiguration) -> Void = { _ in }, rootKey: PublicKey? = nil,
        tls: WhatsAppSimulator.TLS? = nil, dialer: Dialer = Dialer(), _ body: (ClientRig) async throws -> Void
    ) async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var settings = WhatsAppSimulator.Configuration()
        settings.tls = tls
        let simulator = try await WhatsAppSimulator.start(configuration: settings, logger: logger)
        var configuration = WhatsAppConfiguration(url: simulator.secureWebSocketURL ?? simulator.webSocketURL, rootKey: rootKey ?? simulator.rootKey)
        configuration.firstPreKeys = 30
        configuration.lateAckGrace = .milliseconds(50)
        configure(&configuration)
        let store = MemoryDeviceStore()
        let observer = RecordingObserver { code in
            guard let number else { return }
            do { try simulator.scan(qr: code, number: number) } catch { Issue.record(error) }
        }
        let client = WhatsAppClient(configuration: configuration, dialer: dialer, store: store, observer: observer, logger: logger)
        let rig = ClientRig(simulator: simulator, client: client, store: store, observer: observer)
        async let running: Void = client.run()
        do {
            try await body(rig)
        } catch {
            await client.stop()
            await running
            await simulator.stop()
            throw error
        }
        await client.stop()
        await running
        await simulator.stop()
    }

    /// Waits until the phone's first messages to its new companion were read and everything else that came was acknowledged.
    @discardableResult
    func settled() async throws -> SimulatedPhone.Device? {
        let isSettled = { @Sendable (phones: [SimulatedPhone]) in
            guard let device = phones.first?.linkedDevices.first else { return false }
            return device.peerReceipts["peer_msg", default: 0] >= 1 && device.queued == 0
        }
        return try await simulator.phones(until: isSettled).first?.linkedDevices.first
    }

    /// Sends a text, committing as a caller would.
    @discardableResult
    func send(_ text: String, to number: String, id: String? = nil, builds: Builds? = nil) async throws(SendFailure) -> Acknowledgement {
        let message = OutgoingMessage(id: id ?? Self.newID(), recipientNumber: number, body: .text(text), messageSecret: SystemRandom().bytes(32))
        return try await client.send(message) { [store] preWire in
            let place = store.queue()
            return {
                await builds?.note(preWire)
                try await store.commit(preWire, place: place)
            }
        }
    }

    static func newID() -> String { MessageID.make(unixSeconds: 1_800_000_000, ownNumber: number, random: SystemRandom().bytes(16)) }
}

/// Counts pre-wire calls.
actor Builds {
    private(set) var all: [PreWire] = []
    func note(_ preWire: PreWire) { all.append(preWire) }
}
