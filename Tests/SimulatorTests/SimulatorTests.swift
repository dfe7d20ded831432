import Foundation
import Logging
import Primitives
import SignalProtocol
import Simulator
import Testing
import WhatsAppWire

@Suite(.timeLimit(.minutes(10))) struct SimulatorTests {
    static let sender = "15550101111"

    @Test func `a paired client sends a text to both devices of a recipient and gets ack and receipts`() async throws {
        try await withSimulator { simulator in
            // given
            let client = try await simulator.logIn(number: Self.sender)
            let (chat, devices) = try await simulator.target("15550107777", of: client)
            let own = try #require(client.account).lid
            // when
            try await client.send(try client.message("hello", id: "3EB0AA", to: chat, devices: devices))
            // then
            let ack = try await client.next("ack") { $0.string("id") == "3EB0AA" }
            #expect(ack.string("error") == nil)
            #expect(ack.string("phash") == ParticipantHash.phash(devices))
            var from: Set<String> = []
            while from.count < 3 {
                let receipt = try await client.next("receipt") { $0.string("id") == "3EB0AA" }
                from.insert("\(receipt.string("from") ?? "") \(receipt.string("type") ?? "delivered")")
            }
            #expect(from == ["\(chat) delivered", "\(chat.withDevice(1)) delivered", "\(own.bare) sender"])
            let shown = await simulator.nextMessage()
            #expect(shown?.text == "hello" && shown?.number == "15550107777" && shown?.id == "3EB0AA")
            let received = simulator.received(id: "3EB0AA")
            #expect(received.count == 3)
            #expect(received.allSatisfy { $0.text == "hello" && $0.copies == 1 && $0.shown == 1 })
            #expect(simulator.counters.invalidDeviceIdentities == 0)
        }
    }

    @Test func `a prekey message without the account's signature is not read`() async throws {
        try await withSimulator { simulator in
            let client = try await simulator.logIn(number: Self.sender)
            let (chat, devices) = try await simulator.target("15550107777", of: client)
            var stanza = try client.message("hello", id: "A1", to: chat, devices: devices)
            stanza.content = .nodes([try #require(stanza.child("participants"))])

            try await client.send(stanza)

            let retry = try await client.next("receipt") { $0.string("type") == "retry" }
            #expect(retry.child("retry")?.string("error") == "12")
            #expect(simulator.counters.invalidDeviceIdentities == 2)
        }
    }

    @Test func `the phone greets a new companion with history that it can decrypt`() async throws {
        try await withSimulator { simulator in
            // given
            let client = try await simulator.logIn(number: Self.sender)
            // when
            let stanza = try await client.next("message") { $0.string("category") == "peer" }
            // then
            let enc = try #require(stanza.child("enc"))
            #expect(enc.string("type") == "pkmsg")
            let keys = client.keys
            var record = SessionRecord()
            let opened = try SessionCipher.decrypt(
                preKeyMessage: enc.contentBytes ?? [], own: keys.identity, signedPreKeys: { $0 == 1 ? keys.signedPreKey : nil },
                preKeys: { id in keys.preKeys.first { $0.id == id } }, record: &record, random: SystemRandom())
            let message = try WAMessage(wire: try MessagePadding.unpad(opened.plaintext))
            #expect(opened.identityKey == client.account?.accountKey)
            #expect(message.protocolMessage.type == .historySyncNotification)
            #expect(message.protocolMessage.historySyncNotification.hasInitialHistBootstrapInlinePayload)
        }
    }

    @Test func `numbers behave as their last digits say`() async throws {
        try await withSimulator { simulator in
            let client = try await simulator.logIn(number: Self.sender)
            #expect(try await client.resolve("15550100000") == nil)
            #expect(try await client.resolve("15550100008") == nil)

            for (number, code) in [("15550100004", "463"), ("15550100009", "429"), ("15550100005", "479")] {
                let (chat, devices) = try await simulator.target(number, of: client)
                try await client.send(try client.message("no", id: number, to: chat, devices: devices))
                #expect(try await client.next("ack") { $0.string("id") == number }.string("error") == code)
            }
            let (again, devices) = try await simulator.target("15550100005", of: client)
            try await client.send(try client.message("yes", id: "15550100005", to: again, devices: devices))
            #expect(try await client.next("ack") { $0.string("id") == "15550100005" }.string("error") == nil)

            let (read, readers) = try await simulator.target("15550100001", of: client)
            try await client.send(try client.message("read me", id: "R", to: read, devices: readers))
            _ = try await client.next("receipt") { $0.string("id") == "R" && $0.string("type") == "read" }
        }
    }

    @Test func `a retry is asked for once and its answer is shown once`() async throws {
        try await withSimulator { simulator in
            let client = try await simulator.logIn(number: Self.sender)
            let (chat, devices) = try await simulator.target("15550100006", of: client)
            try await client.send(try client.message("again", id: "RT", to: chat, devices: devices))
            let retry = try await client.next("receipt") { $0.string("type") == "retry" }
            #expect(retry.child("retry")?.string("count") == "1" && retry.jid("from") == chat)

            var message = WAMessage()
            message.conversation = "again"
            try await client.send(
                Node(
                    "message", ["id": "RT", "to": .jid(chat), "type": "text", "device_fanout": "false"],
                    children: [try client.encrypt(message.wireBytes, for: chat, count: 1), client.identityNode]))

            _ = try await client.next("receipt") { $0.string("id") == "RT" && $0.string("type") == nil && $0.jid("from") == chat }
            let entry = try #require(simulator.received(id: "RT", number: "15550100006").first { $0.device == chat.description })
            #expect(entry.copies == 2 && entry.shown == 1 && entry.retryRequests == 1 && entry.decryptFailures == 0)
        }
    }

    @Test(arguments: [DuplicateMode.deduplicate, .forward, .refuse])
    func `the same stanza sent twice is shown once in every mode`(mode: DuplicateMode) async throws {
        try await withSimulator({ $0.duplicates = mode }) { simulator in
            let client = try await simulator.logIn(number: Self.sender)
            let (chat, devices) = try await simulator.target("15550107777", of: client)
            let stanza = try client.message("once", id: "D", to: chat, devices: devices)
            try await client.send(stanza)
            _ = try await client.next("ack") { $0.string("id") == "D" }
            try await client.send(stanza)
            let second = try await client.next("ack") { $0.string("id") == "D" }
            #expect(second.string("error") == (mode == .refuse ? "409" : nil))
            _ = try await client.request("get", "w:p", [Node("ping")])

            let entries = simulator.received(id: "D")
            #expect(entries.count == 3 && entries.allSatisfy { $0.shown == 1 && $0.copies == (mode == .forward ? 2 : 1) })
        }
    }

    @Test func `a second login replaces the first, a wrong key or an unlinked device gets 401`() async throws {
        try await withSimulator { simulator in
            let (keys, account) = try await simulator.pair(number: Self.sender)
            let first = try await RawClient.connect(port: simulator.port, root: simulator.rootKey, keys: keys, account: account)
            _ = try await first.next("success")
            let second = try await RawClient.connect(port: simulator.port, root: simulator.rootKey, keys: keys, account: account)
            _ = try await second.next("success")
            #expect(try await first.next("stream:error").child("conflict")?.string("type") == "replaced")

            let stranger = try await RawClient.connect(port: simulator.port, root: simulator.rootKey, account: account)
            #expect(try await stranger.next("failure").string("reason") == "401")

            try simulator.unlink(sender: Self.sender)
            #expect(try await second.next("stream:error").child("conflict")?.string("type") == "device_removed")
            #expect(simulator.phones.isEmpty)
            let gone = try await RawClient.connect(port: simulator.port, root: simulator.rootKey, keys: keys, account: account)
            #expect(try await gone.next("failure").string("reason") == "401")
        }
    }

    @Test func `two real clients write to each other and unacknowledged stanzas come again`() async throws {
        try await withSimulator { simulator in
            // given
            let alice = try await simulator.logIn(number: "15550102222")
            let bob = try await simulator.logIn(number: "15550103333")
            let (chat, devices) = try await simulator.target("15550103333", of: alice)
            let (aliceLID, bobLID) = (try #require(alice.account).lid, try #require(bob.account).lid)
            #expect(devices.contains(bobLID))
            // when
            try await alice.send(try alice.message("hi bob", id: "AB", to: chat, devices: devices))
            // then
            let stanza = try await bob.next("message") { $0.string("id") == "AB" }
            #expect(stanza.jid("from") == aliceLID && stanza.child("device-identity") != nil)
            try await bob.send(Node("receipt", ["id": "AB", "to": .jid(aliceLID)]))
            let receipt = try await alice.next("receipt") { $0.string("id") == "AB" && $0.jid("from") == bobLID }
            #expect(receipt.string("type") == nil)

            // given: bob is away
            try simulator.disconnect(sender: bobLID.description)
            #expect(await bob.isClosed())
            try await alice.send(try alice.message("are you there", id: "AB2", to: chat, devices: devices))
            _ = try await alice.next("ack") { $0.string("id") == "AB2" }
            // when
            let back = try await RawClient.connect(port: simulator.port, root: simulator.rootKey, keys: bob.keys, account: bob.account)
            _ = try await back.next("success")
            try await back.send(Node("iq", ["to": .jid(.server), "type": "set", "xmlns": "passive", "id": "x"], children: [Node("active")]))
            // then
            let late = try await back.next("message") { $0.string("id") == "AB2" }
            #expect(late.string("offline") != nil)
        }
    }

    @Test func `a stale device list gives another phash, and lost acks stay lost`() async throws {
        try await withSimulator { simulator in
            let client = try await simulator.logIn(number: Self.sender)
            let (chat, devices) = try await simulator.target("15550100007", of: client)
            try simulator.addDevice("15550100007")
            let stanza = try client.message("x", id: "P", to: chat, devices: devices)
            try await client.send(stanza)
            _ = try await client.next("receipt") { $0.string("id") == "P" }
            #expect(simulator.counters.lostAcks == 1)
            try await client.send(stanza)
            let ack = try await client.next("ack") { $0.string("class") == "message" && $0.string("id") == "P" }
            #expect(ack.string("phash") != nil && ack.string("phash") != ParticipantHash.phash(devices))
        }
    }

    @Test func `a pairing code links like a scan`() async throws {
        try await withSimulator { simulator in
            // given
            let keys = RawClient.makeKeys()
            let client = try await RawClient.connect(port: simulator.port, root: simulator.rootKey, keys: keys)
            _ = try await client.next("iq")
            let request = PairCodeCompanion.Request(
                number: Self.sender, noiseKey: keys.noise.publicKey, identity: keys.identity.keyPair, client: .chrome, display: "Chrome (Linux)")
            var companion = try PairCodeCompanion(request, random: SystemRandom())
            try await client.send(companion.hello(id: "hello"))
            try companion.received(helloAnswer: try await client.next("iq") { $0.string("id") == "hello" })
            // when
            try simulator.enterCode(companion.code.displayText, number: Self.sender)
            // then
            let notification = try await client.next("notification")
            let (stanza, secret) = try companion.finish(notification, id: "finish", random: SystemRandom())
            try await client.send(stanza)
            let success = try await client.next("iq") { $0.child("pair-success") != nil }
            let outcome = try CompanionPairing.accept(success, identity: keys.identity.keyPair, advSecret: secret, random: SystemRandom())
            guard case .accepted(_, let reply) = outcome else { throw RawClient.Failure.unexpected("pairing") }
            try await client.send(reply)
            #expect(try await client.next("stream:error").string("code") == "515")
            #expect(simulator.phones.first?.number == Self.sender)
            #expect(throws: SimulatorError(.invalidCode)) { try simulator.enterCode("ABCD-EFGH", number: Self.sender) }
        }
    }

    @Test func `a linked client is told of its user's new and removed devices`() async throws {
        try await withSimulator { simulator in
            // given
            let client = try await simulator.logIn(number: Self.sender)
            let own = try #require(client.account).jid.bare
            for devices in [[0, 1, 2], [0, 1]] as [[UInt16]] {
                // when
                if devices.count == 3 {
                    _ = try await simulator.pair(number: Self.sender)
                } else {
                    try simulator.unlink(sender: own.withDevice(2).description)
                }
                // then
                let notification = try await client.next("notification") { $0.string("type") == "account_sync" }
                let list = try #require(notification.child("devices"))
                let expected = devices.map { own.withDevice($0) }
                #expect(notification.jid("from") == own)
                #expect(list.children("device").compactMap { $0.jid("jid") } == expected)
                #expect(list.string("dhash") == ParticipantHash.phash(expected))
            }
        }
    }

    @Test func `stopping again returns, and ends who waits`() async throws {
        // given
        let simulator = try await WhatsAppSimulator.start(logger: Logger(label: "simulator.tests"))
        let waiting = Task { try await simulator.phones { !$0.isEmpty } }
        // when
        await simulator.stop()
        await simulator.stop()
        // then
        await #expect(throws: CancellationError.self) { try await waiting.value }
        await #expect(throws: CancellationError.self) { try await simulator.phones { !$0.isEmpty } }
        #expect(await simulator.nextMessage() == nil)
    }

    @Test func `phones can be waited for until everything is acknowledged`() async throws {
        try await withSimulator { simulator in
            // given
            let client = try await simulator.logIn(number: Self.sender)
            async let drained = simulator.phones { $0.first?.linkedDevices.first?.queued == 0 }
            // when
            let greeting = try await client.next("message") { $0.string("category") == "peer" }
            try await client.send(
                Node("ack", ["class": "message", "id": greeting.attributes["id"], "to": greeting.attributes["from"]]))
            // then
            #expect(try await drained.first?.number == Self.sender)
            let canceled = Task { try await simulator.phones { $0.isEmpty } }
            canceled.cancel()
            await #expect(throws: CancellationError.self) { try await canceled.value }
        }
    }

    @Test func `every scan without a number links a fresh one, and only linked phones are listed`() async throws {
        try await withSimulator { simulator in
            try simulator.addRecipient("15553010101")
            var numbers: Set<String> = []
            for _ in 0..<2 { numbers.insert(try await simulator.pair(number: nil).account.jid.user) }
            #expect(numbers == ["15553010100", "15553010102"])
            #expect(simulator.phones.map(\.number).sorted() == numbers.sorted())
            try simulator.unlink(sender: "15553010102")
            #expect(simulator.phones.map(\.number) == ["15553010100"])
        }
    }
}
