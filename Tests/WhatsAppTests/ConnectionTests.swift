import Simulator
import Testing

@testable import WhatsApp

@Suite(.timeLimit(.minutes(10))) struct ConnectionTests {
    @Test(arguments: [515, 503, nil]) func `the client comes back after a restart`(code: Int?) async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            try rig.simulator.disconnect(sender: ClientRig.number, code: code)
            try await rig.observer.until(.ready, count: 2)

            try await rig.send("still here", to: "15550100401")
        }
    }

    @Test func `being replaced is final`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            try rig.simulator.replace(sender: ClientRig.number)
            try await rig.observer.until(.replaced)

            let failure = await #expect(throws: SendFailure.self) { try await rig.send("x", to: "15550100402") }
            #expect(failure?.code == .notReady)
            #expect(rig.simulator.counters.logins == 1)
        }
    }

    @Test func `being unlinked is final and keeps the reason`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            try rig.simulator.unlink(sender: ClientRig.number)

            try await rig.observer.until(.loggedOut(code: "device_removed"))
        }
    }

    @Test func `unanswered pings end the connection`() async throws {
        try await ClientRig.run(configure: {
            $0.keepalive = .milliseconds(20) ... .milliseconds(40)
            $0.pingTimeout = .milliseconds(100)
        }) { rig in
            try await rig.observer.until(.ready)
            var deaf = TrafficBehaviour()
            deaf.mutesPings = true
            try rig.simulator.setBehaviour(deaf)

            try await rig.observer.until(.disconnected(code: "keepalive_lost"))
        }
    }

    @Test func `a message that is not acknowledged is reported, and its repetition is shown once`() async throws {
        try await ClientRig.run(configure: { $0.ackTimeout = .seconds(2) }) { rig in
            try await rig.observer.until(.ready)
            var lossy = TrafficBehaviour()
            lossy.lostAcks = 1
            try rig.simulator.setBehaviour(lossy)
            let id = ClientRig.newID()

            // 0003 never sends a receipt that could prove the message.
            let failure = await #expect(throws: SendFailure.self) { try await rig.send("once", to: "15550100003", id: id) }
            #expect(failure?.code == .ackTimeout)
            #expect(failure?.onWire == true)
            try await rig.observer.until(.ready, count: 2)
            try await rig.send("once", to: "15550100003", id: id)

            let copies = rig.simulator.received(id: id)
            #expect(copies.allSatisfy { $0.shown == 1 })
        }
    }

    @Test func `the identical stanza may be sent again`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let id = ClientRig.newID()
            let builds = Builds()
            try await rig.send("twice", to: "15550100411", id: id, builds: builds)

            let stanza = try #require(await builds.all.first?.stanza)
            _ = try await rig.client.resend(stanza: stanza, id: id)

            #expect(rig.simulator.received(id: id).allSatisfy { $0.shown == 1 })
        }
    }

    @Test func `a ban is waited for and reported`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            var banned = TrafficBehaviour()
            banned.loginFailure = TrafficBehaviour.LoginFailure(reason: 402, times: nil, code: 101, expire: 3_600)
            try rig.simulator.setBehaviour(banned)

            try rig.simulator.disconnect(sender: ClientRig.number)

            try await rig.observer.until { observer in
                observer.states.contains { if case .temporarilyBanned(code: 101, _) = $0 { true } else { false } }
            }
        }
    }

    @Test func `logging out removes the device and erases its state`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)

            try await rig.client.logOut()
            try await rig.observer.until(.loggedOut(code: "requested"))

            #expect(await rig.store.current == nil)
            let isGone = rig.simulator.phones.allSatisfy { $0.linkedDevices.isEmpty }
            #expect(isGone)
        }
    }

    @Test func `stopping waits for the acknowledgement and sends nothing new`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            var slow = TrafficBehaviour()
            slow.ackDelay = .milliseconds(200)
            try rig.simulator.setBehaviour(slow)
            let (onWire, signal) = AsyncStream.makeStream(of: Void.self)
            let message = OutgoingMessage(id: ClientRig.newID(), recipientNumber: "15550100003", body: .text("last"))
            async let sending = rig.client.send(message) { preWire in
                let place = rig.store.queue()
                return {
                    try await rig.store.commit(preWire, place: place)
                    signal.finish()
                }
            }
            for await _ in onWire {}

            await rig.client.stop()

            let acknowledgement = try await sending
            #expect(acknowledgement.time != nil)
            let failure = await #expect(throws: SendFailure.self) { try await rig.send("too late", to: "15550100003") }
            #expect(failure?.code == .notReady)
            #expect(await rig.observer.states.last == .stopped)
        }
    }

    @Test func `a test that waits in vain ends when its time is over`() async throws {
        let (started, signal) = AsyncStream.makeStream(of: Void.self)
        let test = Task {
            try await ClientRig.run { rig in
                try await rig.observer.until(.ready)
                signal.finish()
                try await rig.observer.until(.replaced)
            }
        }
        for await _ in started {}

        test.cancel()

        await #expect(throws: CancellationError.self) { try await test.value }
    }

    @Test func `an unreachable server is tried again`() async throws {
        try await ClientRig.run(configure: { $0.url = "ws://127.0.0.1:1/ws/chat" }) { rig in
            try await rig.observer.until(.disconnected(code: "dial_network"))
        }
    }
}
