import Primitives
import Simulator
import Testing

@testable import WhatsApp

@Suite(.timeLimit(.minutes(10))) struct PairingTests {
    @Test func `a scanned code pairs, restarts, logs in and uploads prekeys`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            let states = await rig.observer.states
            #expect(states == [.connecting, .pairing, .disconnected(code: "paired"), .connecting, .ready])
            #expect(await rig.observer.pairings == 1)
            let credentials = try #require(await rig.store.current)
            #expect(credentials.number == ClientRig.number)
            let device = try #require(rig.simulator.phones.first?.linkedDevices.first)
            #expect(device.jid == credentials.jid.description)
            // The phone's first message to its companion may have used one up.
            #expect((28...30).contains(device.oneTimePreKeys))
            #expect(device.isActive)
        }
    }

    @Test func `codes are shown one after the other and pairing is given up after the last round`() async throws {
        try await ClientRig.run(
            scanning: nil,
            configure: {
                $0.firstCode = .milliseconds(20)
                $0.laterCode = .milliseconds(5)
                $0.pairingRounds = 2
            }
        ) { rig in
            try await rig.observer.until(.parked(code: "pairing_expired"))

            let codes = await rig.observer.codes
            #expect(codes.count == 12)
            #expect(Set(codes).count == 12)
            #expect(await rig.store.current == nil)
        }
    }

    @Test func `another number than the expected one is refused and nothing is stored`() async throws {
        try await ClientRig.run(configure: { $0.expectedNumber = "15550100123" }) { rig in
            try await rig.observer.until(.parked(code: "pairing_otherNumber"))

            #expect(await rig.store.current == nil)
            #expect(await rig.store.commits == 0)
        }
    }

    @Test func `a server whose certificate is of another root is refused`() async throws {
        try await ClientRig.run(rootKey: PrivateKey(random: SystemRandom()).publicKey) { rig in
            try await rig.observer.until(.disconnected(code: "handshake_certificate"))

            #expect(await rig.observer.codes.isEmpty)
        }
    }

    @Test func `the messages of the own phone are decrypted and answered`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            try await rig.send("hello", to: "15550100001")

            let device = try #require(try await rig.settled())
            #expect(device.peerReceipts["retry"] == nil)
            #expect(device.peerReceipts["peer_msg"] == 1)
            #expect(device.peerReceipts["hist_sync"] == 1)
            #expect(await !rig.store.removedPreKeys.isEmpty)
        }
    }
}
