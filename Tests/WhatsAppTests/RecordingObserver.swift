import WhatsAppWire

@testable import WhatsApp

/// Keeps what a client reports, and lets a test wait for it.
actor RecordingObserver: DeviceObserver {
    private(set) var states: [ConnectionState] = []
    private(set) var codes: [String] = []
    private(set) var receipts: [Receipt] = []
    private(set) var pairings = 0
    private(set) var identityChanges = 0
    private let scan: @Sendable (String) async -> Void
    private var waiters: [(isMet: (RecordingObserver) -> Bool, signal: AsyncStream<Void>.Continuation)] = []

    /// - Parameter scan: what the phone's owner does with a code.
    init(scan: @escaping @Sendable (String) async -> Void) { self.scan = scan }

    func pairingCode(_ text: String, validFor: Duration) async {
        codes.append(text)
        changed()
        await scan(text)
    }

    func paired(_ credentials: DeviceCredentials) async throws {
        pairings += 1
        changed()
    }

    func stateChanged(_ state: ConnectionState) async {
        states.append(state)
        changed()
    }

    func received(_ receipts: [Receipt]) async throws {
        self.receipts += receipts
        changed()
    }

    func identityChanged() async {
        identityChanges += 1
        changed()
    }

    /// Waits until the condition holds; checked after every event.
    /// - Throws: `CancellationError` when the test's time is over.
    func until(_ isMet: @escaping @Sendable (isolated RecordingObserver) -> Bool) async throws {
        if isMet(self) { return }
        let (met, signal) = AsyncStream.makeStream(of: Void.self)
        waiters.append(({ observer in observer.assumeIsolated { isMet($0) } }, signal))
        for await _ in met {}
        try Task.checkCancellation()
    }

    /// Waits until `state` was reported at least `count` times.
    func until(_ state: ConnectionState, count: Int = 1) async throws {
        try await until { observer in observer.states.filter { $0 == state }.count >= count }
    }

    private func changed() {
        let met = waiters.filter { $0.isMet(self) }
        waiters.removeAll { $0.isMet(self) }
        for waiter in met { waiter.signal.finish() }
    }
}
