package import Primitives
package import WhatsAppWire

/// Settings of one ``WhatsAppClient``.
package struct WhatsAppConfiguration: Sendable {
    /// `ws://` or `wss://` address with path.
    package var url: String
    /// Root key of the server's Noise certificates.
    package var rootKey: PublicKey
    /// The client version, `2.3000.R`.
    package var version: ClientVersion
    /// Shown on the phone under "Linked devices".
    package var deviceName: String
    /// Pair only with this number (digits); nil accepts any.
    package var expectedNumber: String?
    /// How many times a fresh set of QR codes is asked for before pairing is given up.
    package var pairingRounds: Int
    /// How long the first and each later QR code is shown (protocol.md 6.1).
    package var firstCode: Duration
    package var laterCode: Duration
    /// Between two pings, drawn anew each time.
    package var keepalive: ClosedRange<Duration>
    /// For the answer to a ping; the second try gets half of it.
    package var pingTimeout: Duration
    package var dialTimeout: Duration
    package var handshakeTimeout: Duration
    package var requestTimeout: Duration
    package var ackTimeout: Duration
    /// How long ``WhatsAppClient/stop()`` waits for outstanding acknowledgements.
    package var stopTimeout: Duration
    /// How long after a receipt has proved that the server took a message its acknowledgement is still waited for.
    package var lateAckGrace: Duration
    /// One-time prekeys of the first upload and of each refill.
    package var firstPreKeys: Int
    package var refillPreKeys: Int
    /// Awaited before every dial: the place for a node-wide limit on logins.
    package var admission: @Sendable () async -> Void
    /// Asked immediately before each stanza is written; false: it does not leave.
    package var mayWrite: @Sendable () -> Bool

    package init(
        url: String, rootKey: PublicKey, version: ClientVersion = .known, deviceName: String = "Gateway",
        expectedNumber: String? = nil, admission: @escaping @Sendable () async -> Void = {}
    ) {
        self.url = url
        self.rootKey = rootKey
        self.version = version
        self.deviceName = deviceName
        self.expectedNumber = expectedNumber
        self.admission = admission
        mayWrite = { true }
        pairingRounds = 3
        firstCode = .seconds(60)
        laterCode = .seconds(20)
        keepalive = .seconds(20) ... .seconds(30)
        pingTimeout = .seconds(10)
        dialTimeout = .seconds(20)
        handshakeTimeout = .seconds(20)
        requestTimeout = .seconds(30)
        ackTimeout = .seconds(75)
        stopTimeout = .seconds(2)
        lateAckGrace = .seconds(2)
        firstPreKeys = 812
        refillPreKeys = 50
    }
}
