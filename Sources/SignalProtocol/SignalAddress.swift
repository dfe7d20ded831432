/// Whom a Signal session is with: a user's name (protocol.md 4.4) and one of the user's devices.
package struct SignalAddress: Hashable, Sendable, CustomStringConvertible {
    package var name: String
    package var device: UInt32

    package init(name: String, device: UInt32) {
        self.name = name
        self.device = device
    }

    /// `name:device`. It holds a user's name: not for the log.
    package var description: String { "\(name):\(device)" }
}
