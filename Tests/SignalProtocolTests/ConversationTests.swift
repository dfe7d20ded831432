import Primitives
import TestSupport
import Testing

@testable import SignalProtocol

/// Random two-party conversations over a network that loses, reorders and repeats, with processes that end and come back.
@Suite struct ConversationTests {
    /// A message under way and what it says.
    private struct InFlight {
        let message: Ciphertext
        let plaintext: [UInt8]
        let toBob: Bool
        var isDelivered = false
    }

    @Test(arguments: 0..<40)
    func `every delivered message decrypts once, whatever the network and the processes do`(seed: Int) throws {
        // given
        let dice = SeededRandom(UInt64(seed) &+ 7000)
        var parties = [Party(seed: UInt64(seed) * 2 + 100), Party(seed: UInt64(seed) * 2 + 101)]
        try parties[0].begin(with: parties[1].bundle(preKey: seed.isMultiple(of: 2) ? 1 : nil))
        var wire: [InFlight] = []
        // when
        for step in 0..<150 {
            let speaker = dice.below(2)
            switch dice.below(12) {
            case 0..<5 where !parties[speaker].record.isEmpty:
                let plaintext = dice.bytes(dice.below(200))
                wire.append(InFlight(message: try parties[speaker].encrypt(plaintext), plaintext: plaintext, toBob: speaker == 0))
            case 5..<10 where !wire.isEmpty:
                let index = dice.below(wire.count)
                let receiver = wire[index].toBob ? 1 : 0
                let before = parties[receiver].record.serialized()
                if wire[index].isDelivered {
                    // then: a repeated message is refused and harms nothing
                    #expect(parties[receiver].refusal(of: wire[index].message) == .duplicateMessage, "seed \(seed), step \(step)")
                    #expect(parties[receiver].record.serialized() == before)
                } else {
                    // then: a first delivery, however late, gives what was said
                    #expect(try parties[receiver].decrypt(wire[index].message) == wire[index].plaintext, "seed \(seed), step \(step)")
                    wire[index].isDelivered = true
                }
                // Old chains are dropped in time; a network that keeps messages back for ever would find them gone.
                if wire.count > 12 { wire.removeFirst(wire.count - 12) }
            case 10:
                // The process ends after storing.
                try parties[speaker].storeAndLoad()
            case 11 where !wire.isEmpty:
                // The process ends after decrypting, before storing: it gets the message again.
                let index = dice.below(wire.count)
                let receiver = wire[index].toBob ? 1 : 0
                var lost = parties[receiver]
                if !wire[index].isDelivered { #expect(try lost.decrypt(wire[index].message) == wire[index].plaintext) }
            default: continue
            }
        }
    }

    @Test func `a session begun anew while the old one's messages are under way loses none of them`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 1)
        let old = try alice.encrypt([1])
        try alice.begin(with: bob.bundle(preKey: 2))
        let new = try alice.encrypt([2])
        // when
        let plaintexts = [try bob.decrypt(new), try bob.decrypt(old)]
        // then: the old one works and is promoted, and both sides still understand each other
        #expect(plaintexts == [[2], [1]])
        #expect(bob.record.archivedCount == 1)
        #expect(try alice.decrypt(try bob.encrypt([3])) == [3])
        #expect(try bob.decrypt(try alice.encrypt([4])) == [4])
    }

    @Test func `two sides that begin at once end up with one session`() throws {
        // given
        var alice = Party(seed: 11)
        var bob = Party(seed: 12)
        try alice.begin(with: bob.bundle(preKey: 1))
        try bob.begin(with: alice.bundle(preKey: 1))
        let (fromAlice, fromBob) = (try alice.encrypt([1]), try bob.encrypt([2]))
        // when
        #expect(try bob.decrypt(fromAlice) == [1])
        #expect(try alice.decrypt(fromBob) == [2])
        for round in UInt8(0)..<4 {
            #expect(try bob.decrypt(try alice.encrypt([round])) == [round])
            #expect(try alice.decrypt(try bob.encrypt([round])) == [round])
        }
        // then
        #expect(alice.record.currentBaseKey == bob.record.currentBaseKey)
        #expect(try alice.encrypt([]).kind == .message)
    }
}
