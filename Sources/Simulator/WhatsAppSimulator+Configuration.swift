package import Foundation
package import Primitives

extension WhatsAppSimulator {
    package struct Configuration: Sendable {
        /// A loopback address; the simulator has no other protection.
        package var host = "127.0.0.1"
        /// 0 lets the system choose.
        package var port = 0
        /// `wss://` beside `ws://`.
        package var tls: TLS?
        /// 32 bytes from which the root key, the LIDs and the account keys are derived; nil draws them.
        package var seed: [UInt8]?
        package var random: any RandomSource = SystemRandom()
        /// Measures every delay.
        package var clock: any Clock<Duration> = ContinuousClock()
        package var now: @Sendable () -> Date = { Date() }
        /// Devices of a recipient that nobody described, the phone counted.
        package var recipientDevices = 2
        /// How long the first QR code lives; each of the five others lives a third of it. WhatsApp: 60 s.
        package var qrLifetime: Duration = .seconds(60)
        /// How late the slow numbers deliver.
        package var slowDelay: Duration = .seconds(5)
        /// Entries of `received` that are kept, oldest dropped first.
        package var historyLimit = 400_000
        package var duplicates: DuplicateMode = .deduplicate
        /// Whether a phone also shares an app state key with its new companion.
        package var sharesAppStateKey = false
        /// Event loop threads.
        package var threads = 2

        package init() {}
    }

    /// The simulator makes no certificates: PEM files, made by the caller.
    package struct TLS: Sendable {
        package var port: Int
        package var certificateFile: String
        package var privateKeyFile: String

        package init(port: Int = 0, certificateFile: String, privateKeyFile: String) {
            self.port = port
            self.certificateFile = certificateFile
            self.privateKeyFile = privateKeyFile
        }
    }
}
