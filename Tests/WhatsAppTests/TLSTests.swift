import Foundation
import Simulator
import Testing

@testable import WhatsApp

@Suite(.timeLimit(.minutes(10))) struct TLSTests {
    @Test func `over wss a client pairs, logs in and sends`() async throws {
        try await withCertificate { tls in
            try await ClientRig.run(tls: tls, dialer: Dialer(extraRoots: Array(TestCertificate.certificate.utf8))) { rig in
                try await rig.observer.until(.ready)

                let acknowledgement = try await rig.send("over TLS", to: "15550100007")

                #expect(acknowledgement.recipientDevices == 2)
                #expect(await rig.simulator.nextMessage()?.text == "over TLS")
            }
        }
    }

    @Test func `a certificate that nobody vouches for is refused before a byte of the handshake`() async throws {
        try await withCertificate { tls in
            try await ClientRig.run(tls: tls, dialer: Dialer()) { rig in
                try await rig.observer.until { observer in observer.states.count >= 2 }

                #expect(await rig.observer.states.contains(.ready) == false)
                #expect(await rig.observer.codes.isEmpty)
                #expect(rig.simulator.counters.logins == 0)
            }
        }
    }

    private func withCertificate(_ body: (WhatsAppSimulator.TLS) async throws -> Void) async throws {
        let files = try TestCertificate.write()
        defer { try? FileManager.default.removeItem(at: files.folder) }
        try await body(WhatsAppSimulator.TLS(certificateFile: files.certificate, privateKeyFile: files.privateKey))
    }
}
