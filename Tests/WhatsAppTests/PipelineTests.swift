import Primitives
import SignalProtocol
import Synchronization
import TestSupport
import Testing
import WhatsAppWire

@testable import WhatsApp

/// Messages of one sender share commits: the next one is encrypted while the commit of the one before is under way.
@Suite(.timeLimit(.minutes(10))) struct PipelineTests {
    private struct Refused: Error {}

    /// What happened, in order.
    private final class Journal: Sendable {
        private let entries = Mutex<[String]>([])
        func note(_ entry: String) { entries.withLock { $0.append(entry) } }
        var all: [String] { entries.withLock { $0 } }
    }

    private static func message(_ text: String, to number: String) -> OutgoingMessage {
        OutgoingMessage(
            id: ClientRig.newID(), recipientNumber: number, body: .text(text), messageSecret: SystemRandom().bytes(32))
    }

    @Test func `a message is encrypted while the one before commits, and leaves after it all the same`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            try await rig.send("hello", to: "15550100301")
            let (first, second) = (Self.message("first", to: "15550100301"), Self.message("second", to: "15550100301"))
            let (isQueued, gate, secondCommitted) = (Gate(), Gate(), Gate())

            async let one = rig.client.send(first) { [store = rig.store] preWire in
                let place = store.queue()
                return {
                    isQueued.open()
                    await gate.wait()
                    try await store.commit(preWire, place: place)
                }
            }
            await isQueued.wait()
            async let two = rig.client.send(second) { [store = rig.store] preWire in
                let place = store.queue()
                return {
                    try await store.commit(preWire, place: place)
                    secondCommitted.open()
                }
            }
            await secondCommitted.wait()
            #expect(rig.simulator.received(id: first.id).isEmpty && rig.simulator.received(id: second.id).isEmpty)
            gate.open()
            _ = try await (one, two)

            let shown = rig.simulator.received().filter { !$0.isOwnCopy && $0.number == "15550100301" }
            #expect(shown.allSatisfy { $0.shown == 1 && $0.decryptFailures == 0 })
            let texts = shown.compactMap(\.text)
            #expect(try #require(texts.firstIndex(of: "first")) < #require(texts.lastIndex(of: "second")))
            // What the store holds goes on from both.
            try await rig.send("third", to: "15550100301")
            #expect(rig.simulator.received().allSatisfy { $0.decryptFailures == 0 })
        }
    }

    @Test func `a commit that fails costs its own message only, and a new identity is stored all the same`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let (first, second) = (Self.message("first", to: "15550100302"), Self.message("second", to: "15550100302"))
            let (isQueued, gate) = (Gate(), Gate())
            let identities = Journal()

            let failing = Task {
                try await rig.client.send(first) { preWire in
                    identities.note("\(preWire.changes.identities.count)")
                    return {
                        isQueued.open()
                        await gate.wait()
                        throw Refused()
                    }
                }
            }
            await isQueued.wait()
            async let following = rig.client.send(second) { [store = rig.store] preWire in
                let place = store.queue()
                identities.note("\(preWire.changes.identities.count)")
                return {
                    gate.open()
                    try await store.commit(preWire, place: place)
                }
            }
            _ = try await following
            let failure = await #expect(throws: SendFailure.self) { try await failing.value }

            #expect(failure?.code == .preWireFailed && failure?.onWire == false)
            #expect(rig.simulator.received(id: first.id).isEmpty)
            #expect(rig.simulator.received(id: second.id).contains { $0.text == "second" && $0.shown == 1 })
            let counts = identities.all.compactMap { Int($0) }
            #expect(counts.count == 2 && counts[0] > 0 && counts[1] >= counts[0])
            let records = await rig.store.records.values
            #expect(records.allSatisfy { $0.session == nil || $0.identity != nil })
            try await rig.send("third", to: "15550100302")
            #expect(rig.simulator.received().allSatisfy { $0.decryptFailures == 0 })
        }
    }

    @Test(arguments: [UInt64(1), 2, 3]) func `whichever commits fail and in whatever order they end, nothing is lost or sent twice`(seed: UInt64)
        async throws
    {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let numbers = ["15550100301", "15550100302", "15550100303"]
            let random = SeededRandom(seed)
            let plans = (0..<60).map { _ in (fails: random.next() % 4 == 0, yields: Int(random.next() % 40)) }

            let sent = await withTaskGroup(of: (Int, Bool).self) { group in
                for (index, plan) in plans.enumerated() {
                    group.addTask {
                        let message = Self.message("number \(index)", to: numbers[index % 3])
                        do {
                            _ = try await rig.client.send(message) { [store = rig.store] preWire in
                                let place = store.queue()
                                return {
                                    for _ in 0..<plan.yields { await Task.yield() }
                                    if plan.fails { throw Refused() }
                                    try await store.commit(preWire, place: place)
                                }
                            }
                            return (index, true)
                        } catch { return (index, false) }
                    }
                }
                return await group.reduce(into: Set<Int>()) { if $1.1 { $0.insert($1.0) } }
            }

            #expect(sent == Set(plans.indices.filter { !plans[$0].fails }))
            for number in numbers { try await rig.send("last", to: number) }
            let copies = rig.simulator.received().filter { !$0.isOwnCopy && $0.number != ClientRig.number }
            #expect(copies.allSatisfy { $0.shown == 1 && $0.duplicates == 0 && $0.decryptFailures == 0 })
            #expect(Set(copies.compactMap(\.text)) == Set(sent.map { "number \($0)" } + ["last"]))
        }
    }

    @Test func `a step that commits by itself waits until everything before it is settled, and nothing passes it`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let journal = Journal()
            let (isQueued, gate) = (Gate(), Gate())

            async let one = rig.client.send(Self.message("first", to: "15550100301")) { [store = rig.store] preWire in
                let place = store.queue()
                return {
                    isQueued.open()
                    await gate.wait()
                    try await store.commit(preWire, place: place)
                    journal.note("committed")
                }
            }
            await isQueued.wait()
            let alone = Task { await rig.client.withSettledSignals { journal.note("alone") } }
            async let two = rig.send("second", to: "15550100301")
            gate.open()
            _ = try await (one, two)
            await alone.value

            #expect(journal.all == ["committed", "alone"])
        }
    }

    @Test func `what failed while somebody read is not taken for stored`() async throws {
        try await ClientRig.run { rig in
            try await rig.observer.until(.ready)
            let (known, other) = (SignalAddress(name: "1", device: 0), SignalAddress(name: "2", device: 0))
            let changes = DeviceChanges(
                sessions: [known: SessionRecord()], identities: [known: PrivateKey(random: SystemRandom()).publicKey])
            await rig.client.advance(changes)
            let (isReading, gate) = (Gate(), Gate())
            await rig.store.beforeRead {
                isReading.open()
                await gate.wait()
            }

            async let records = rig.client.signalRecords(of: [known, other])
            await isReading.wait()
            await rig.client.settle(changes)
            gate.open()

            #expect(try await records.isEmpty)
        }
    }

    @Test(arguments: 0..<20) func `turns come in the order they were drawn, however they end`(seed: UInt64) async {
        var random = SeededRandom(seed)
        var turns = WriteTurns()
        let drawn = (0..<50).map { _ in turns.draw() }
        var over: Set<UInt64> = []
        for turn in drawn.shuffled(using: &random) {
            let first = drawn.first { !over.contains($0) }
            #expect(drawn.filter { turns.isFirst($0) } == first.map { [$0] })
            turns.end(turn)
            over.insert(turn)
        }
        #expect(turns.isFirst(turns.draw()))
    }
}

extension WhatsAppClient {
    fileprivate func advance(_ changes: DeviceChanges) { advanced.advance(changes, from: [:]) }
    fileprivate func settle(_ changes: DeviceChanges) { advanced.settle(changes) }
}
