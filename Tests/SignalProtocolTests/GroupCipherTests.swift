import Primitives
import TestSupport
import Testing

@testable import SignalProtocol

@Suite struct GroupCipherTests {
    private static func group(seed: UInt64) throws -> (sender: SenderKeyRecord, receiver: SenderKeyRecord, random: SeededRandom) {
        let random = SeededRandom(seed)
        var sender = SenderKeyRecord()
        var receiver = SenderKeyRecord()
        try GroupCipher.process(distribution: GroupCipher.makeDistribution(record: &sender, random: random), record: &receiver)
        return (sender, receiver, random)
    }

    private static func refusal(of message: [UInt8], _ record: inout SenderKeyRecord) -> SignalError.Code? {
        do { _ = try GroupCipher.decrypt(message, record: &record) } catch { return error.code }
        return nil
    }

    @Test(arguments: 0..<10)
    func `messages in any order decrypt once, over restarts`(seed: Int) throws {
        // given
        var (sender, receiver, random) = try Self.group(seed: UInt64(seed))
        var messages: [(bytes: [UInt8], plaintext: [UInt8])] = []
        for _ in 0..<40 {
            let plaintext = random.bytes(random.below(90))
            messages.append((try GroupCipher.encrypt(plaintext, record: &sender, random: random), plaintext))
            sender = try SenderKeyRecord(serialized: sender.serialized())
        }
        for index in messages.indices { messages.swapAt(index, random.below(messages.count)) }
        for message in messages {
            // when
            let plaintext = try GroupCipher.decrypt(message.bytes, record: &receiver)
            receiver = try SenderKeyRecord(serialized: receiver.serialized())
            // then
            #expect(plaintext == message.plaintext)
            #expect(Self.refusal(of: message.bytes, &receiver) == .duplicateMessage)
        }
    }

    @Test func `five keys are kept, the oldest goes`() throws {
        // given
        var (sender, receiver, random) = try Self.group(seed: 50)
        var late: [[UInt8]] = []
        // when
        for _ in 0..<5 {
            late.append(try GroupCipher.encrypt([1], record: &sender, random: random))
            GroupCipher.rotate(record: &sender, random: random)
            try GroupCipher.process(distribution: GroupCipher.makeDistribution(record: &sender, random: random), record: &receiver)
        }
        // then
        #expect(Self.refusal(of: late[0], &receiver) == .unknownSenderKey)
        for message in late.dropFirst() { #expect(try GroupCipher.decrypt(message, record: &receiver) == [1]) }
    }

    @Test func `the same distribution again does not bring old messages back`() throws {
        // given
        var (sender, receiver, random) = try Self.group(seed: 51)
        let distribution = GroupCipher.makeDistribution(record: &sender, random: random)
        let message = try GroupCipher.encrypt([1], record: &sender, random: random)
        _ = try GroupCipher.decrypt(message, record: &receiver)
        // when
        try GroupCipher.process(distribution: distribution, record: &receiver)
        // then
        #expect(Self.refusal(of: message, &receiver) == .duplicateMessage)
    }

    @Test func `a late member reads from its distribution on`() throws {
        // given
        var (sender, _, random) = try Self.group(seed: 52)
        let before = try GroupCipher.encrypt([1], record: &sender, random: random)
        var late = SenderKeyRecord()
        try GroupCipher.process(distribution: GroupCipher.makeDistribution(record: &sender, random: random), record: &late)
        // when
        let after = try GroupCipher.encrypt([2], record: &sender, random: random)
        // then
        #expect(Self.refusal(of: before, &late) == .duplicateMessage)
        #expect(try GroupCipher.decrypt(after, record: &late) == [2])
    }

    @Test func `2000 ahead is accepted, 2001 refused, and 2000 skipped keys are kept`() throws {
        // given
        var (sender, receiver, random) = try Self.group(seed: 53)
        let first = try GroupCipher.encrypt([1], record: &sender, random: random)
        for _ in 0..<1999 { _ = try GroupCipher.encrypt([0], record: &sender, random: random) }
        let far = try GroupCipher.encrypt([2], record: &sender, random: random)
        let tooFar = try GroupCipher.encrypt([3], record: &sender, random: random)
        let beyond = try GroupCipher.encrypt([4], record: &sender, random: random)
        // then
        #expect(Self.refusal(of: tooFar, &receiver) == .tooFarAhead)
        #expect(try GroupCipher.decrypt(far, record: &receiver) == [2])
        #expect(try GroupCipher.decrypt(beyond, record: &receiver) == [4])
        #expect(receiver.states.first?.chain.skipped.count == SkippedSeeds.maximumCount)
        #expect(Self.refusal(of: first, &receiver) == .duplicateMessage)
        #expect(try GroupCipher.decrypt(tooFar, record: &receiver) == [3])
    }

    @Test func `a member's record does not encrypt, and a stranger's signature is refused`() throws {
        // given
        var (sender, receiver, random) = try Self.group(seed: 54)
        var message = try GroupCipher.encrypt([1], record: &sender, random: random)
        let genuine = message
        message[message.count - 10] ^= 1
        // then
        #expect(throws: SignalError(.noSession)) { try GroupCipher.encrypt([1], record: &receiver, random: random) }
        #expect(Self.refusal(of: message, &receiver) == .invalidSignature)
        #expect(try GroupCipher.decrypt(genuine, record: &receiver) == [1])
    }
}
