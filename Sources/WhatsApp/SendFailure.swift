/// Why a message was not accepted by the server, or is not known to be.
package struct SendFailure: Error, Sendable {
    package enum Code: Hashable, Sendable {
        /// Not logged in at the moment.
        case notReady
        /// The connection ended before the answer came.
        case disconnected
        /// No acknowledgement in time; the client reconnects by itself.
        case ackTimeout
        /// The calling task was cancelled.
        case canceled
        /// The number is not registered on WhatsApp.
        case notOnWhatsApp
        /// The server knows no LID for the number.
        case noLID
        /// The recipient has no device that could be addressed.
        case noDevices
        /// No Signal session could be made with the recipient's primary device.
        case noSession
        /// The pre-wire closure threw; nothing left.
        case preWireFailed
        /// The device store failed; nothing left.
        case storeFailed
        /// The server refused the message: proof that it was not delivered.
        case refused(code: Int)
        /// A query about the recipient was refused (429 and others) or not answered (0).
        case resolveFailed(code: Int)
        /// The message could not be encoded or encrypted.
        case encodeFailed
    }

    /// What went wrong.
    package var code: Code
    /// Whether the message's bytes may have left this process.
    package var onWire: Bool
    /// For the log: never a body, a number, a JID or a key.
    package var detail: String
    /// What the pre-wire closure or the store threw, for the caller that knows the type.
    package var cause: (any Error)?
    /// Where the time went until then.
    package var timings = SendTimings()
    /// How many pre-wires had succeeded by then; set by the caller, who counts them.
    package var preWires = 0

    package init(_ code: Code, onWire: Bool = false, detail: String = "", cause: (any Error)? = nil) {
        self.code = code
        self.onWire = onWire
        self.detail = detail
        self.cause = cause
    }
}
