import Domain
import Foundation
import Postgres
import Primitives
import Simulator
import Synchronization
import TestSupport
import Testing
import WhatsApp

@testable import Sessions

@Suite(.serialized, .timeLimit(.minutes(10))) struct OwnershipTests {
    @Test func `a node that lost a lease changes nothing and closes the connection`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")

            // The node may renew between the two; then the lease expires once more.
            let taken = try await rig.expect("node-2 to take the lease") {
                try await rig.expire(sender)
                return try await rig.gateway.leases.acquire(node: "node-2", limit: 10, ttl: .seconds(60)).first
            }
            let message = try await rig.send("for the new owner", to: "15550120701")

            _ = try await rig.expect("the old connection to close") { rig.linkedDevice("15550100101")?.isConnected == false ? true : nil }
            #expect(taken.owner.sender == sender)
            #expect(try await rig.kinds(message) == [.queued])
            #expect(rig.copies(message).isEmpty)
            try await rig.gateway.leases.release(node: "node-2", owned: [taken.owner])
            try await rig.reach(.delivered, message)
            #expect(rig.copies(message).allSatisfy { $0.shown == 1 })
        }
    }

    @Test func `a graceful stop closes connections, hands leases back, and the next node goes on`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode(ttl: .seconds(30))
            let sender = try await rig.pairedSender("15550100101")
            try await rig.reach(.delivered, try await rig.send("before", to: "15550120701"))

            try await rig.nodes.stop("node-1")

            #expect(rig.linkedDevice("15550100101")?.isConnected == false)
            #expect(try await rig.test.count("SELECT 1 AS one FROM sender_leases WHERE holder IS NOT NULL") == 0)
            let message = try await rig.send("after", to: "15550120701")
            await rig.startNode("node-2", ttl: .seconds(30))
            try await rig.reach(.delivered, message)
            #expect(try await rig.test.count("SELECT 1 AS one FROM sender_leases WHERE sender_id = \(sender) AND holder = 'node-2'") == 1)
        }
    }

    @Test func `a stop lets the message under way finish`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")
            var slow = TrafficBehaviour()
            slow.ackDelay = .milliseconds(700)
            try rig.simulator.setBehaviour(slow)
            var silent = RecipientBehaviour()
            silent.receipts = .none
            try rig.simulator.addRecipient("15550120831", behaviour: silent)
            let message = try await rig.send("under way", to: "15550120831")
            #expect(await rig.simulator.nextMessage()?.id == message.wireID)

            try await rig.nodes.stop("node-1")

            #expect(try await rig.gateway.messages.find(message.id, account: rig.account)?.status == .sent)
        }
    }

    @Test func `a stop while nothing answers is quick`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            try await rig.nodes.stop("node-1")
            await rig.startNode("node-2") { $0.url = "ws://127.0.0.1:1/ws/chat" }
            try await rig.reach(.disconnected, sender)
            let start = ContinuousClock.now

            try await rig.nodes.stop("node-2")

            #expect(ContinuousClock.now - start < .seconds(25))
        }
    }

    @Test func `when the trust in the lease ends between commit and first byte, nothing leaves`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            try await rig.nodes.stop("node-1")
            let leased = try #require(try await rig.gateway.leases.acquire(node: "by-hand", limit: 10, ttl: .seconds(60)).first)
            let asked = Mutex(0)
            let trustedAnswers = Mutex(Int.max)
            let isReady = Mutex(false)
            let place = SessionPlace(
                makeClient: { [client = rig.client, test = rig.test] store, observer, _ in
                    WhatsAppClient(
                        configuration: client, dialer: Dialer(), store: store, observer: observer, now: { test.clock.now }, logger: .silent)
                },
                isTrusted: {
                    asked.withLock { $0 += 1 }
                    return trustedAnswers.withLock { left in
                        left -= 1
                        return left >= 0
                    }
                },
                notice: { _, notice in if case .readiness(let ready) = notice { isReady.withLock { $0 = ready } } })
            let session = SenderSession(leased: leased, gateway: rig.gateway, place: place, now: { rig.test.clock.now }, logger: .silent)
            async let ended = session.run()
            _ = try await rig.expect("the session") { isReady.withLock { $0 } ? true : nil }
            let message = try await rig.send("fenced", to: "15550120701")
            let now = rig.test.now
            let claimed = try #require(
                try await rig.gateway.outbox.claim(limit: 1, owned: [leased.owner], now: now, deadline: now.addingTimeInterval(20)).first)

            trustedAnswers.withLock { $0 = 1 }
            let failure = await #expect(throws: SendFailure.self) { try await session.send(claimed) }
            trustedAnswers.withLock { $0 = 0 }
            await session.stop()

            #expect(failure?.code == .preWireFailed && failure?.cause is SealedDeviceStore.StaleEpoch)
            #expect(await ended == false)
            #expect(rig.simulator.received(id: message.wireID).isEmpty)
            #expect(try await rig.kinds(message) == [.queued, .sending])
            try await rig.gateway.leases.release(node: "by-hand", owned: [leased.owner])
            await rig.startNode("node-2")
            let view = try await rig.reach(.delivered, message)
            #expect(view.attempts == 2 && view.sender?.id == sender)
        }
    }

    @Test func `when the database throws everybody out, the node recovers by itself`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")

            for round in 0..<3 {
                _ = try await rig.test.owner.query(
                    "test.terminate",
                    """
                    SELECT pg_terminate_backend(pid)::text AS gone FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                    """, as: { _ in })
                let message = try await rig.expect("an answer") { () -> MessageView? in
                    do { return try await rig.send("round \(round)", to: "15550120701") } catch is AcceptFailure { return nil }
                }
                try await rig.reach(.delivered, message)
                #expect(rig.copies(message).allSatisfy { $0.shown == 1 })
            }
        }
    }

    @Test func `senders that need nobody are not leased again and again`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")
            try rig.simulator.unlink(sender: "15550100101")
            try await rig.reach(.loggedOut, sender)
            _ = try await rig.expect("the lease to be given back") {
                try await rig.test.count("SELECT 1 AS one FROM sender_leases WHERE holder IS NOT NULL") == 0 ? true : nil
            }
            let epoch = try await rig.store(of: sender).owner.epoch

            let other = try await rig.pairedSender("15550100102")
            try await rig.reach(.delivered, try await rig.send("time goes by", to: "15550120701", sender: other))

            #expect(try await rig.store(of: sender).owner.epoch == epoch)
        }
    }
}

extension GatewayRig {
    /// The lease runs out, as after a pause of its holder.
    func expire(_ sender: Sender.ID) async throws {
        try await test.owner.execute("test.expire", "UPDATE sender_leases SET expires_at = '-infinity' WHERE sender_id = \(sender)")
    }
}
