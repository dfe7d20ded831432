package import Foundation

/// A pairing under way, as the API and the terminal show it.
package struct Pairing: Sendable {
    package enum Method: String, Sendable, CaseIterable { case qr, code }

    /// A code to show now: the text of a QR, or the eight characters to type. Never printed.
    package struct Code: Sendable, CustomStringConvertible {
        package let text: String
        package let validUntil: Date
        package var description: String { "Pairing.Code(redacted)" }

        package init(text: String, validUntil: Date) {
            self.text = text
            self.validUntil = validUntil
        }
    }

    package let sender: Sender.ID
    package let method: Method
    /// For a phone code: the phone's number.
    package let number: E164?
    package let requestedAt: Date
    package let expiresAt: Date
    /// nil while the node that owns the sender has not published one, and after it has expired.
    package let code: Code?
    /// The sender's state tells the outcome: `ready` is success.
    package let senderState: SenderState
}
