import Simulator
import Testing

@testable import WhatsApp

@Suite(.timeLimit(.minutes(10))) struct ReceiptFlowTests {
    @Test func `delivered and read arrive and are acknowledged`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let id = ClientRig.newID()

            try await rig.send("read me", to: "15550100001", id: id)

            try await rig.observer.until { observer in
                observer.receipts.contains { $0.kind == .read && $0.messageIDs == [id] }
                    && observer.receipts.contains { $0.kind == .delivered && $0.messageIDs == [id] }
            }
        }
    }

    @Test func `a device that asks again gets the kept message under the same id`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let id = ClientRig.newID()

            try await rig.send("second try", to: "15550100006", id: id)

            try await rig.observer.until { observer in
                observer.receipts.contains { if case .retry = $0.kind { true } else { false } }
                    && observer.receipts.contains { $0.kind == .delivered && $0.device.isPrimaryDevice && $0.messageIDs == [id] }
            }
            let phone = try #require(rig.simulator.received(id: id, number: "15550100006").first { !$0.device.contains(":") })
            #expect(phone.text == "second try")
            #expect(phone.shown == 1)
            #expect(phone.retryRequests == 1)
        }
    }

    @Test func `a session lost here is replaced without the reader noticing`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            try await rig.send("before", to: "15550100361")
            await rig.store.dropSessions()
            let id = ClientRig.newID()

            try await rig.send("after", to: "15550100361", id: id)

            #expect(rig.simulator.received(id: id).allSatisfy { $0.text == "after" && $0.decryptFailures == 0 })
        }
    }

    @Test func `a receipt proves a message whose acknowledgement was lost`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            let acknowledgement = try await rig.send("lost ack", to: "15550100007")

            #expect(acknowledgement.time == nil)
            #expect(await rig.observer.states.filter { $0 == .ready }.count == 1)
        }
    }

    @Test func `messages from others are acknowledged and dropped`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            // The phone's own first message is committed, and no other.
            try await rig.settled()
            let commits = await rig.store.commits
            try rig.simulator.inbound(from: "15550100371", to: ClientRig.number, text: "hello?")

            try await rig.send("outbound only", to: "15550100372")
            try await rig.observer.until { observer in observer.receipts.contains { $0.kind == .delivered } }

            try await rig.settled()
            #expect(await rig.store.commits == commits + 1)
        }
    }
}
