import Simulator
import Testing

@testable import WhatsApp

@Suite(.timeLimit(.minutes(10))) struct SendingTests {
    @Test func `every device of the recipient and the own phone get the message`() async throws {
        try await ClientRig.run { rig in
            try rig.simulator.addRecipient("15550100777", devices: 3)
            try await rig.observer.until(.ready)
            let id = ClientRig.newID()
            let builds = Builds()

            let acknowledgement = try await rig.send("Halo 🌍", to: "15550100777", id: id, builds: builds)

            #expect(acknowledgement.recipientDevices == 3)
            #expect(acknowledgement.time != nil)
            try await rig.observer.until { observer in observer.receipts.filter { $0.kind == .delivered && $0.messageIDs == [id] }.count == 3 }
            let copies = rig.simulator.received(id: id)
            #expect(copies.count == 4)
            #expect(copies.allSatisfy { $0.text == "Halo 🌍" && $0.shown == 1 && $0.decryptFailures == 0 })
            #expect(copies.filter(\.isOwnCopy).count == 1)
            #expect(rig.simulator.counters.invalidDeviceIdentities == 0)
            #expect(await builds.all.count == 1)
            #expect(await rig.store.sent[id]?.number == "15550100777")
        }
    }

    @Test func `fifty overlapping messages to two people arrive once each`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<50 {
                    group.addTask { _ = try await rig.send("number \(index)", to: index % 2 == 0 ? "15550100301" : "15550100302") }
                }
                try await group.waitForAll()
            }

            let copies = rig.simulator.received().filter { !$0.isOwnCopy && $0.number != ClientRig.number }
            #expect(copies.count == 100)
            #expect(copies.allSatisfy { $0.shown == 1 && $0.duplicates == 0 && $0.decryptFailures == 0 })
            #expect(Set(copies.compactMap(\.text)).count == 50)
        }
    }

    @Test func `a pre-wire closure that throws keeps everything here`() async throws {
        struct Refused: Error {}
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let before = await rig.store.records.count
            let message = OutgoingMessage(id: ClientRig.newID(), recipientNumber: "15550100311", body: .text("never"))

            let failure = await #expect(throws: SendFailure.self) { try await rig.client.send(message) { _ in throw Refused() } }

            #expect(failure?.code == .preWireFailed)
            #expect(failure?.onWire == false)
            #expect(failure?.cause is Refused)
            #expect(await rig.store.records.count == before)
            try await rig.send("after", to: "15550100311")
            #expect(rig.simulator.received(id: message.id).isEmpty)
        }
    }

    @Test(arguments: [
        ("15550100000", SendFailure.Code.notOnWhatsApp), ("15550100008", .noLID), ("15550100004", .refused(code: 463)),
        ("15550100009", .refused(code: 429)),
    ])
    func `a number's refusal has its own code`(number: String, code: SendFailure.Code) async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            let failure = await #expect(throws: SendFailure.self) { try await rig.send("x", to: number) }

            #expect(failure?.code == code)
        }
    }

    @Test func `479 is answered by one rebuild under the same id`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let builds = Builds()
            let id = ClientRig.newID()

            try await rig.send("again", to: "15550100005", id: id, builds: builds)

            #expect(await builds.all.map(\.build) == [1, 2])
            let copies = rig.simulator.received(id: id).filter { !$0.isOwnCopy }
            #expect(!copies.isEmpty)
            #expect(copies.allSatisfy { $0.shown == 1 && $0.text == "again" })
        }
    }

    @Test func `a query that is refused is not mistaken for an unknown number`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            var limited = TrafficBehaviour()
            limited.queryError = 429
            try rig.simulator.setBehaviour(limited)

            let failure = await #expect(throws: SendFailure.self) { try await rig.send("x", to: "15550100321") }

            #expect(failure?.code == .resolveFailed(code: 429))
            #expect(await rig.store.contacts.isEmpty)
        }
    }

    @Test func `a stale device list is dropped and the next message is complete`() async throws {
        try await ClientRig.run { rig in
            try rig.simulator.addRecipient("15550100331", devices: 1)
            try await rig.observer.until(.ready)
            try await rig.send("one", to: "15550100331")
            try rig.simulator.addDevice("15550100331")

            try await rig.send("two", to: "15550100331")
            let third = try await rig.send("three", to: "15550100331")

            #expect(third.recipientDevices == 2)
        }
    }

    @Test func `a bundle that does not verify is not used`() async throws {
        try await ClientRig.run { rig in
            var forged = RecipientBehaviour()
            forged.hasInvalidSignature = true
            try rig.simulator.addRecipient("15550100341", behaviour: forged)
            try await rig.observer.until(.ready)

            let failure = await #expect(throws: SendFailure.self) { try await rig.send("x", to: "15550100341") }

            #expect(failure?.code == .noSession)
            #expect(failure?.onWire == false)
        }
    }

    @Test func `a recipient without one-time prekeys is reached`() async throws {
        try await ClientRig.run { rig in
            var bare = RecipientBehaviour()
            bare.lacksOneTimePreKeys = true
            try rig.simulator.addRecipient("15550100351", behaviour: bare)
            try await rig.observer.until(.ready)
            let id = ClientRig.newID()

            try await rig.send("signed prekey only", to: "15550100351", id: id)

            #expect(rig.simulator.received(id: id).allSatisfy { $0.text == "signed prekey only" })
        }
    }

    @Test func `a message to oneself reaches the own phone`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let id = ClientRig.newID()

            try await rig.send("note to self", to: ClientRig.number, id: id)

            #expect(rig.simulator.received(id: id).map(\.text) == ["note to self"])
        }
    }
}
