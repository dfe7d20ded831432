import Primitives
import TestSupport
import Testing

@testable import SignalProtocol

/// Every truncation of valid input, and thousands of seeded mutations: an error or a valid result, never a trap, and no change on refusal.
@Suite struct HostileInputTests {
    private static let mutations = 10_000

    /// Changes a few bytes, and sometimes cuts, repeats or adds some.
    private static func mutated(_ bytes: [UInt8], _ dice: SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0...dice.below(4) where !bytes.isEmpty {
            let at = dice.below(bytes.count)
            switch dice.below(8) {
            case 0: bytes.removeSubrange(at..<min(bytes.count, at + 1 + dice.below(9)))
            case 1: bytes.insert(contentsOf: dice.bytes(1 + dice.below(9)), at: at)
            case 2: bytes[at] = [0, 0x7f, 0x80, 0xff][dice.below(4)]
            case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 20)], at: dice.below(bytes.count))
            case 4: bytes[dice.below(min(bytes.count, 12))] ^= UInt8(1 << dice.below(8))
            default: bytes[at] ^= UInt8(1 << dice.below(8))
            }
        }
        return bytes
    }

    /// Hands every truncation and every mutation of `valid` to `step`, which returns normally if it was accepted.
    private static func attack(_ valid: [UInt8], seed: UInt64, count: Int = mutations, _ step: ([UInt8]) throws -> Void) {
        for length in 0..<valid.count {
            do {
                try step(Array(valid.prefix(length)))
                Issue.record("accepted \(length) of \(valid.count) bytes")
            } catch {
                #expect(error is SignalError)
            }
        }
        let dice = SeededRandom(seed)
        for _ in 0..<count {
            do { try step(mutated(valid, dice)) } catch { #expect(error is SignalError) }
        }
    }

    @Test func `damaged messages`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 20)
        let known = try alice.encrypt([1, 2, 3])
        _ = try bob.decrypt(known)
        let answered = try bob.encrypt([7])
        _ = try alice.decrypt(answered)
        let valid = try alice.encrypt([4, 5, 6])
        let before = bob.record.serialized()
        // when
        Self.attack(valid.bytes, seed: 1) { bytes in
            var copy = bob
            do {
                let plaintext = try copy.decrypt(Ciphertext(kind: .message, bytes: bytes))
                // then: only what is authentic, that is unchanged, decrypts
                #expect(plaintext == [4, 5, 6])
                #expect(bytes == valid.bytes)
            } catch {
                #expect(copy.record.serialized() == before)
                throw error
            }
        }
    }

    @Test func `damaged prekey messages`() throws {
        // given
        var alice = Party(seed: 21)
        let bob = Party(seed: 22)
        try alice.begin(with: bob.bundle(preKey: 2))
        let valid = try alice.encrypt([4, 5, 6])
        // when
        Self.attack(valid.bytes, seed: 2) { bytes in
            var copy = bob
            do {
                let plaintext = try copy.decrypt(Ciphertext(kind: .preKey, bytes: bytes))
                // then: some of the header may change (the sender's registration id, unknown fields), the plaintext may not
                #expect(plaintext == [4, 5, 6])
            } catch {
                #expect(copy.record.isEmpty && copy.record.archivedCount == 0)
                throw error
            }
        }
    }

    @Test func `damaged group messages`() throws {
        // given
        let random = SeededRandom(23)
        var sender = SenderKeyRecord()
        var receiver = SenderKeyRecord()
        try GroupCipher.process(distribution: GroupCipher.makeDistribution(record: &sender, random: random), record: &receiver)
        let valid = try GroupCipher.encrypt([4, 5, 6], record: &sender, random: random)
        // when
        Self.attack(valid, seed: 3) { bytes in
            var copy = receiver
            let plaintext = try GroupCipher.decrypt(bytes, record: &copy)
            // then
            #expect(plaintext == [4, 5, 6])
            #expect(bytes == valid)
        }
    }

    @Test func `damaged distribution messages`() throws {
        // given
        let random = SeededRandom(24)
        var sender = SenderKeyRecord()
        let valid = GroupCipher.makeDistribution(record: &sender, random: random)
        let message = try GroupCipher.encrypt([1], record: &sender, random: random)
        // when
        Self.attack(valid, seed: 4) { bytes in
            var record = SenderKeyRecord()
            try GroupCipher.process(distribution: bytes, record: &record)
            // then: what was accepted can be used and stored
            _ = try SenderKeyRecord(serialized: record.serialized())
            _ = try? GroupCipher.decrypt(message, record: &record)
        }
    }

    @Test func `damaged session records`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 25)
        let late = try alice.encrypt([1])
        _ = try alice.encrypt([1])
        _ = try bob.decrypt(try alice.encrypt([2]))
        bob.record.archiveCurrent()
        try bob.begin(with: alice.bundle(preKey: 1))
        let valid = bob.record.serialized()
        // when
        Self.attack(valid, seed: 5) { bytes in
            var copy = bob
            copy.record = try SessionRecord(serialized: bytes)
            // then: what was accepted can be used and stored
            _ = try? copy.decrypt(late)
            _ = try? copy.encrypt([1])
            copy.record.archiveCurrent()
            _ = try SessionRecord(serialized: copy.record.serialized())
            _ = copy.record.remoteIdentity
        }
    }

    @Test func `damaged sender key records`() throws {
        // given
        let random = SeededRandom(26)
        var sender = SenderKeyRecord()
        var receiver = SenderKeyRecord()
        try GroupCipher.process(distribution: GroupCipher.makeDistribution(record: &sender, random: random), record: &receiver)
        let late = try GroupCipher.encrypt([1], record: &sender, random: random)
        _ = try GroupCipher.decrypt(try GroupCipher.encrypt([2], record: &sender, random: random), record: &receiver)
        // when
        for (seed, record) in [(UInt64(6), sender), (7, receiver)] {
            Self.attack(record.serialized(), seed: seed, count: Self.mutations / 2) { bytes in
                var copy = try SenderKeyRecord(serialized: bytes)
                // then
                _ = try? GroupCipher.decrypt(late, record: &copy)
                _ = try? GroupCipher.encrypt([1], record: &copy, random: random)
                _ = try SenderKeyRecord(serialized: copy.serialized())
            }
        }
    }

    @Test func `random bytes are refused`() {
        // given
        let dice = SeededRandom(27)
        var bob = Party(seed: 28)
        for _ in 0..<2000 {
            // when
            let bytes = [0x33] + dice.bytes(dice.below(300))
            // then
            #expect(bob.refusal(of: Ciphertext(kind: .preKey, bytes: bytes)) != nil)
            #expect(bob.refusal(of: Ciphertext(kind: .message, bytes: bytes)) != nil)
        }
    }

    @Test func `fields that are unknown are passed over and groups are refused`() throws {
        // given
        let message = try SignalMessage(parsing: try acquaintedPair(seed: 29).alice.encryptedOnce())
        let start = message.bytes.dropLast(SignalMessage.macLength)
        // when
        let unknown = start + [0x78, 0x01, 0x7a, 0x01, 0x00, 0x7d, 0, 0, 0, 0, 0x79] + [UInt8](repeating: 0, count: 16)
        let group = start + [0x7b, 0x7c] + [UInt8](repeating: 0, count: 8)
        // then
        #expect(try SignalMessage(parsing: Array(unknown)).ciphertext == message.ciphertext)
        #expect(throws: SignalError(.malformedMessage)) { try SignalMessage(parsing: Array(group)) }
    }
}

extension Party {
    /// One message of a copy.
    fileprivate func encryptedOnce() throws -> [UInt8] {
        var copy = self
        return try copy.encrypt([1]).bytes
    }
}
