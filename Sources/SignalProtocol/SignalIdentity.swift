package import Primitives

/// This device's own long-term key and the number it registered under.
package struct SignalIdentity: Sendable, CustomStringConvertible {
    package var keyPair: PrivateKey
    package var registrationID: UInt32

    package init(keyPair: PrivateKey, registrationID: UInt32) {
        self.keyPair = keyPair
        self.registrationID = registrationID
    }

    package var description: String { "SignalIdentity(redacted)" }
}
