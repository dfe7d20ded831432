package import struct Foundation.Date

/// What happens on one device's connection. The client awaits each call; what it acknowledges to the server, it acknowledges afterwards.
package protocol DeviceObserver: Sendable {
    /// A QR text to show now, for `validFor`. It holds the pairing secret: never log it, forget it when the next one comes.
    func pairingCode(_ text: String, validFor: Duration) async

    /// The device is paired and its credentials are durable. The connection restarts next; ``ConnectionState/ready`` follows.
    func paired(_ credentials: DeviceCredentials) async throws

    /// The connection's state changed. After a state with `isTerminal` the client's `run()` returns.
    func stateChanged(_ state: ConnectionState) async

    /// Receipts arrived, in this order. Only when this returns are they acknowledged; if it throws, the server sends them again after a reconnect.
    func received(_ receipts: [Receipt]) async throws

    /// Another identity key was seen for somebody's device and is trusted from now on (protocol.md 9.8). Names nobody.
    func identityChanged() async
}

extension DeviceObserver {
    package func identityChanged() async {}
}

/// Where one device's connection stands.
///
///     connecting ─▶ pairing ─▶ connecting ─▶ ready ─▶ disconnected ─▶ connecting …
///                                   └──────────┴────▶ a terminal state: `run()` returns
package enum ConnectionState: Hashable, Sendable {
    /// A connection is being opened.
    case connecting
    /// Connected without credentials; pairing codes follow.
    case pairing
    /// Logged in; messages may be sent.
    case ready
    /// Not connected; the client tries again by itself. `code` is stable and safe as a metric label.
    case disconnected(code: String)
    /// The server forbids logins until then; the client waits and tries again by itself. `code` as in protocol.md 8.2.
    case temporarilyBanned(code: Int, until: Date)
    /// The server refuses this client version; the client tries again by itself every 15 minutes.
    case clientOutdated
    /// Terminal: unlinked by the phone or the server; the credentials are worthless.
    case loggedOut(code: String)
    /// Terminal: the same credentials connected elsewhere.
    case replaced
    /// Terminal: somebody has to look. `code` is stable and safe as a metric label.
    case parked(code: String)
    /// Terminal: stopped on request.
    case stopped

    /// Whether `run()` returns after this state.
    package var isTerminal: Bool {
        switch self {
        case .connecting, .pairing, .ready, .disconnected, .temporarilyBanned, .clientOutdated: false
        case .loggedOut, .replaced, .parked, .stopped: true
        }
    }
}
