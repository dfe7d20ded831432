/// A message at one device. One per (sender, message id, device), however many copies came.
package struct ReceivedMessage: Sendable, Codable, Equatable {
    /// Ascending from 1, in order of first arrival.
    package var sequence: Int
    package var id: String
    /// Digits of the sender's number.
    package var sender: String
    /// The sender's device number.
    package var senderDevice: Int
    /// Digits of the number whose device this is.
    package var number: String
    /// The device's JID under its LID.
    package var device: String
    /// Whether it is the copy for one of the sender's own devices.
    package var isOwnCopy: Bool
    /// As decrypted; nil while nothing could be decrypted, for real clients, and for messages without text.
    package var text: String?
    /// Ciphertexts that arrived.
    package var copies: Int
    /// How often the device put it on its screen: 0 or 1, since a device shows a (sender, id) once.
    package var shown: Int
    /// Copies of a message that was already shown.
    package var duplicates: Int
    package var decryptFailures: Int
    package var retryRequests: Int
}

/// Sums since the start.
package struct Counters: Sendable, Codable, Equatable {
    package var connections = 0
    package var logins = 0
    package var stanzas = 0
    package var malformedFrames = 0
    /// Message stanzas from clients, all tries.
    package var messages = 0
    package var duplicateStanzas = 0
    package var refused = 0
    package var lostAcks = 0
    /// Ciphertexts handed to simulated and to real devices.
    package var copies = 0
    package var shown = 0
    package var duplicates = 0
    package var decryptFailures = 0
    /// Prekey messages whose device-identity does not prove that the sender's phone linked the sender's device.
    package var invalidDeviceIdentities = 0
    package var retryRequests = 0
    package var receipts = 0
    package var staleDeviceLists = 0
    package var preKeyUploads = 0
    package var pairings = 0
    package var refusedLogins = 0
    /// Stanzas of no kind the simulator knows.
    package var unknownStanzas = 0
}

/// A user of a number.
package struct SimulatedUser: Sendable, Codable, Equatable {
    package var number: String
    package var jid: String
    package var lid: String
    /// Device JIDs under the LID, the phone first.
    package var devices: [String]
}

/// What a scan promises to the device that showed the QR.
package struct PairedDevice: Sendable, Codable, Equatable {
    package var number: String
    package var jid: String
    package var lid: String
}

/// A phone with linked devices.
package struct SimulatedPhone: Sendable, Codable, Equatable {
    package var number: String
    package var jid: String
    package var lid: String
    package var linkedDevices: [Device]

    package struct Device: Sendable, Codable, Equatable {
        package var jid: String
        package var lid: String
        /// What the client calls itself under "Linked devices".
        package var name: String
        package var isConnected: Bool
        /// Whether it has asked for its queued stanzas since it logged in.
        package var isActive: Bool
        package var oneTimePreKeys: Int
        /// Stanzas the client has not acknowledged yet.
        package var queued: Int
        /// Types of the receipts for the phone's own messages: `peer_msg`, `hist_sync`, `sender`, `retry`.
        package var peerReceipts: [String: Int]
    }
}

/// Why a verb was refused.
package struct SimulatorError: Error, Sendable, Equatable {
    package enum Code: String, Sendable, Codable {
        case invalidNumber, invalidCode, invalidSeed, unknownSender, tooManyDevices, noSession, invalidRequest
    }

    package let code: Code

    package init(_ code: Code) { self.code = code }
}
