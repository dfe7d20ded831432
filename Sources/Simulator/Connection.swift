import NIOCore
import Primitives
import Synchronization
import WhatsAppWire

/// A client's open connection after its handshake.
struct Connection: Sendable {
    enum Phase: Sendable {
        case registering(Registration)
        case loggedIn(DeviceReference)
        case closing
    }
    let port: ConnectionPort
    var phase: Phase
}

/// The way out to one client. Stanzas leave in the order of the calls, which are all made under the engine's lock; those of one moment leave in one
/// write to the socket.
final class ConnectionPort: Sendable {
    private let channel: any Channel
    private let waiting = Mutex<[NoiseChannelHandler.Outgoing]>([])

    init(channel: any Channel) { self.channel = channel }

    func send(_ stanza: Node) { put(.stanza(stanza)) }

    /// Closes behind everything that was sent before. `lingers` leaves the client a moment to read its last stanza and to close by itself.
    func close(lingers: Bool) { put(.close(lingers: lingers)) }

    /// Never at once, also on the channel's own thread: the handler may need the lock that the caller holds.
    private func put(_ item: NoiseChannelHandler.Outgoing) {
        let isFirst = waiting.withLock { waiting in
            defer { waiting.append(item) }
            return waiting.isEmpty
        }
        guard isFirst else { return }
        channel.eventLoop.execute { [self] in
            let items = waiting.withLock { waiting in
                defer { waiting = [] }
                return waiting
            }
            for item in items { channel.write(item, promise: nil) }
            channel.flush()
        }
    }
}

/// A client that is not linked yet: what it registered with, and how far its pairing is.
struct Registration: Sendable {
    let noiseKey: PublicKey
    let identityKey: PublicKey
    let registrationID: UInt32
    let signedPreKey: LinkedDevice.SignedPreKey
    let name: String
    /// Of the codes still to be scanned; empty once one was.
    var references: [String] = []
    var codeRequest: CodeRequest?
    var pairing: Pairing?

    /// A pairing code that a client shows (protocol.md 6.5).
    struct CodeRequest: Sendable {
        let number: String
        let reference: [UInt8]
        let wrappedKey: [UInt8]
        /// The phone's half, once its owner typed the code.
        var phone: PrimaryPairing?
    }

    /// A pair-success that the client has not answered yet.
    struct Pairing: Sendable {
        let stanzaID: String
        let account: Int
        let device: UInt16
        let record: [UInt8]
    }
}
