import Domain
import Foundation
import Simulator
import TestSupport
import Testing
import WhatsApp

@testable import Sessions

@Suite(.serialized, .timeLimit(.minutes(10))) struct SendingTests {
    @Test func `a text is shown once at every device and its timeline goes up to read, never backwards`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")
            try rig.simulator.addRecipient("15550120777", devices: 3)

            let delivered = try await rig.send("Kode Anda 123456", to: "15550120777")
            let read = try await rig.send("Halo", to: "15550120001")

            try await rig.reach(.delivered, delivered)
            let seen = try await rig.reach(.read, read)
            let copies = rig.copies(delivered)
            #expect(copies.count == 3 && copies.allSatisfy { $0.shown == 1 && $0.text == "Kode Anda 123456" && $0.duplicates == 0 })
            #expect(try await rig.kinds(delivered) == [.queued, .sending, .sent, .delivered])
            #expect(try await rig.kinds(read) == [.queued, .sending, .sent, .delivered, .read])
            let events = try #require(try await rig.gateway.messages.events(read.id, account: rig.account))
            let moments = events.map(\.at)
            #expect(moments == moments.sorted())
            let times = [seen.createdAt, seen.sendingAt, seen.sentAt, seen.deliveredAt, seen.readAt].compactMap { $0 }
            #expect(times.count == 5 && times == times.sorted())
        }
    }

    @Test func `two senders take turns`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let first = try await rig.pairedSender("15550100101")
            let second = try await rig.pairedSender("15550100102")

            var chosen: [Sender.ID?] = []
            for index in 0..<6 {
                let message = try await rig.send("number \(index)", to: "1555012070\(index)")
                chosen.append(try await rig.reach(.delivered, message).sender?.id)
            }

            let counts = [first, second].map { sender in chosen.count { $0 == sender } }
            #expect(counts == [3, 3])
            let senders = Set((0..<6).flatMap { rig.simulator.received(number: "1555012070\($0)").map(\.sender) })
            #expect(senders == ["15550100101", "15550100102"])
        }
    }

    @Test func `a retry request is answered from the sealed plaintext, which outlives the engine`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            let sender = try await rig.pairedSender("15550100101")

            let message = try await rig.send("asked for again", to: "15550120006")

            try await rig.reach(.delivered, message)
            _ = try await rig.expect("every device to show it") { rig.copies(message).allSatisfy { $0.shown == 1 } ? true : nil }
            #expect(rig.simulator.counters.retryRequests == 1)
            try await rig.nodes.stop("node-1")
            let store = try await rig.store(of: sender)
            let kept = try #require(try await store.sentMessage(id: message.wireID))
            #expect(kept.number == "15550120006" && kept.id == message.wireID)
            #expect(try await rig.test.count("SELECT 1 AS one FROM sent_messages WHERE position('asked for again'::bytea IN sealed) > 0") == 0)
            await rig.startNode("node-2")
            let again = try await rig.send("after the restart", to: "15550120006")
            try await rig.reach(.delivered, again)
            _ = try await rig.expect("the phone to show it") { rig.copies(again).allSatisfy { $0.shown == 1 } ? true : nil }
            #expect(rig.simulator.counters.retryRequests == 2)
        }
    }

    @Test func `a lost acknowledgement is made up for by the receipt`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")

            let message = try await rig.send("once", to: "15550120007")

            let view = try await rig.reach(.delivered, message)
            #expect(view.attempts == 1)
            #expect(rig.copies(message).allSatisfy { $0.shown == 1 && $0.duplicates == 0 })
        }
    }

    @Test func `without acknowledgement and receipt the same id leaves again and is shown once`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode { $0.ackTimeout = .milliseconds(300) }
            _ = try await rig.pairedSender("15550100101")
            var silent = RecipientBehaviour()
            silent.receipts = .none
            silent.lostAcks = 1
            try rig.simulator.addRecipient("15550120811", behaviour: silent)

            let message = try await rig.send("once", to: "15550120811")
            #expect(await rig.simulator.nextMessage()?.id == message.wireID)
            try await rig.unanswered(message)
            rig.test.clock.advance(by: 2)

            let view = try await rig.reach(.sent, message)
            #expect(view.attempts == 2)
            let copies = rig.copies(message)
            #expect(!copies.isEmpty && copies.allSatisfy { $0.shown == 1 && $0.duplicates == 0 })
            #expect(try await rig.kinds(message) == [.queued, .sending, .sent])
        }
    }

    @Test func `a server that refuses the second copy does not turn a delivered message into a failed one`() async throws {
        try await GatewayRig.run(duplicates: .refuse) { rig in
            await rig.startNode { $0.ackTimeout = .milliseconds(300) }
            _ = try await rig.pairedSender("15550100101")
            var late = RecipientBehaviour()
            late.receiptDelay = .seconds(4)
            late.lostAcks = 1
            try rig.simulator.addRecipient("15550120812", behaviour: late)

            let message = try await rig.send("once", to: "15550120812")
            try await rig.unanswered(message)
            rig.test.clock.advance(by: 2)
            _ = try await rig.expect("a refusal") { rig.simulator.counters.refused > 0 || rig.simulator.counters.duplicateStanzas > 0 ? true : nil }

            try await rig.reach(.delivered, message)
            let kinds = try await rig.kinds(message)
            #expect(!kinds.contains(.failed))
            #expect(rig.copies(message).allSatisfy { $0.shown == 1 })
        }
    }

    @Test func `479 is cured by building the stanza again`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")

            let message = try await rig.send("rebuilt", to: "15550120005")

            let view = try await rig.reach(.delivered, message)
            #expect(view.attempts == 2)
            #expect(rig.copies(message).allSatisfy { $0.shown == 1 && $0.text == "rebuilt" })
        }
    }

    @Test(arguments: [("15550120004", MessageFailure.Code.newChatLimit, 1), ("15550120000", .notOnWhatsApp, 0), ("15550120008", .undeliverable, 0)])
    func `a final refusal fails the message at once and is not tried again`(number: String, code: MessageFailure.Code, attempts: Int) async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")

            let message = try await rig.send("never", to: number)

            let view = try await rig.reach(.failed, message)
            #expect(view.failure?.code == code && view.attempts == attempts)
            rig.test.clock.advance(by: 7_200)
            let after = try await rig.send("another", to: "15550120701")
            try await rig.reach(.delivered, after)
            #expect(rig.copies(message).allSatisfy { $0.shown == 0 } && rig.simulator.counters.refused == attempts)
        }
    }

    @Test func `429 waits and then the same message goes again over the same sender`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")
            var limited = RecipientBehaviour()
            limited.refusal = Refusal(code: 429, times: 1)
            try rig.simulator.addRecipient("15550120821", behaviour: limited)

            let message = try await rig.send("slowly", to: "15550120821")
            _ = try await rig.expect("the refusal") { try await rig.kinds(message).last == .retrying ? true : nil }
            let paused = rig.test.now.addingTimeInterval(30)
            #expect(try await rig.test.count("SELECT 1 AS one FROM sender_health WHERE paused_until = \(paused)") == 1)
            #expect(try await rig.test.count("SELECT 1 AS one FROM outbox WHERE due_at = \(paused)") == 1)
            rig.test.clock.advance(by: 31)

            try await rig.reach(.delivered, message)
            #expect(try await rig.kinds(message) == [.queued, .sending, .retrying, .sending, .sent, .delivered])
        }
    }

    @Test func `the hourly truncation of the contact cache costs no message`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")
            try await rig.reach(.delivered, try await rig.send("before", to: "15550120777"))
            #expect(try await rig.test.count("SELECT 1 AS one FROM contact_cache") > 0)

            let runs = try await rig.gateway.retention.runHourly(now: rig.test.now)

            #expect(runs.allSatisfy { $0.succeeded })
            #expect(try await rig.test.count("SELECT 1 AS one FROM contact_cache") == 0)
            let message = try await rig.send("after", to: "15550120777")
            try await rig.reach(.delivered, message)
            #expect(rig.copies(message).allSatisfy { $0.shown == 1 && $0.text == "after" })
        }
    }

    @Test func `fifty messages at once over one sender arrive once each`() async throws {
        try await GatewayRig.run { rig in
            await rig.startNode()
            _ = try await rig.pairedSender("15550100101")

            var messages: [MessageView] = []
            for index in 0..<50 { messages.append(try await rig.send("number \(index)", to: "1555012070\(index % 3 + 1)")) }

            for message in messages { try await rig.reach(.delivered, message) }
            let copies = messages.flatMap { rig.copies($0) }
            #expect(copies.count == 100 && copies.allSatisfy { $0.shown == 1 && $0.duplicates == 0 })
            #expect(rig.simulator.counters.duplicateStanzas == 0)
        }
    }
}

extension GatewayRig {
    /// Waits until a try of the message has ended without an answer.
    func unanswered(_ message: MessageView) async throws {
        _ = try await expect("the acknowledgement's time to run out") {
            try await test.count("SELECT 1 AS one FROM message_attempts WHERE message_id = \(message.id) AND outcome = 'unknown'") > 0 ? true : nil
        }
    }

    /// The store of a sender's device, under its present epoch or another.
    func store(of sender: Sender.ID, epoch: Int64? = nil, account: Account.ID? = nil) async throws -> SealedDeviceStore {
        let account = account ?? self.account
        let present = try await test.owner.queryOne(
            "test.epoch", "SELECT epoch FROM sender_leases WHERE sender_id = \(sender)", as: { try $0.column("epoch", as: Int64.self) })
        let owner = OwnedSender(account: account, sender: sender, epoch: try #require(epoch ?? present))
        return SealedDeviceStore(
            gateway: gateway, sealer: try await gateway.accounts.sealer(for: account), owner: owner, isTrusted: { true }, now: { test.now })
    }
}
