import Primitives
import Testing

@testable import SignalProtocol

@Suite struct SessionTests {
    @Test func `messages are prekey messages until the first answer`() throws {
        // given
        var alice = Party(seed: 1)
        var bob = Party(seed: 2)
        try alice.begin(with: bob.bundle(preKey: 3))
        // when
        let first = [try alice.encrypt([1]), try alice.encrypt([2])]
        for message in first { _ = try bob.decrypt(message) }
        let answer = try bob.encrypt([3])
        _ = try alice.decrypt(answer)
        // then
        #expect(first.map(\.kind) == [.preKey, .preKey])
        #expect(answer.kind == .message)
        #expect(!alice.record.hasPendingPreKey)
        #expect(try alice.encrypt([4]).kind == .message)
        #expect(bob.preKeys[3] == nil)
        #expect(bob.record.archivedCount == 0)
        #expect(bob.record.remoteIdentity == alice.own.keyPair.publicKey)
        #expect(bob.record.remoteRegistrationID == alice.own.registrationID)
    }

    @Test func `a bundle whose signature is wrong is refused before anything is drawn`() throws {
        // given
        let alice = Party(seed: 1)
        var bundle = Party(seed: 2).bundle()
        bundle.signature[5] ^= 1
        let random = ScriptedRandom([[UInt8](repeating: 9, count: 32)])
        var record = SessionRecord()
        // then
        #expect(throws: SignalError(.invalidSignature)) { try SessionCipher.begin(bundle, own: alice.own, record: &record, random: random) }
        #expect(record.isEmpty)
        #expect(random.remaining == 1)
    }

    @Test func `an unknown prekey is refused`() throws {
        // given
        var alice = Party(seed: 1)
        var bob = Party(seed: 2)
        try alice.begin(with: bob.bundle(preKey: 1))
        let message = try alice.encrypt([1])
        // when
        bob.preKeys = [:]
        let withoutPreKey = bob.refusal(of: message)
        bob.signedPreKey.id = 2
        let withoutSignedPreKey = bob.refusal(of: message)
        // then
        #expect(withoutPreKey == .unknownPreKey)
        #expect(withoutSignedPreKey == .unknownSignedPreKey)
        #expect(bob.record.isEmpty)
    }

    @Test func `2000 ahead is accepted, 2001 is refused and changes nothing`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 3)
        for _ in 0..<2000 { _ = try alice.encrypt([0]) }
        let far = try alice.encrypt([1])
        let tooFar = try alice.encrypt([2])
        let before = bob.record.serialized()
        // then
        #expect(bob.refusal(of: tooFar) == .tooFarAhead)
        #expect(bob.record.serialized() == before)
        #expect(try bob.decrypt(far) == [1])
        #expect(try bob.decrypt(tooFar) == [2])
    }

    @Test func `a chain keeps 2000 skipped keys and drops the oldest`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 4)
        var messages: [Ciphertext] = []
        for number in 0..<2010 { messages.append(try alice.encrypt([UInt8(truncatingIfNeeded: number)])) }
        // when
        _ = try bob.decrypt(messages[1000])
        _ = try bob.decrypt(messages[2009])
        try bob.storeAndLoad()
        // then: 2008 were skipped, the oldest eight are gone
        #expect(bob.record.current?.receiving.last?.chain.skipped.count == SkippedSeeds.maximumCount)
        #expect(bob.refusal(of: messages[7]) == .duplicateMessage)
        #expect(try bob.decrypt(messages[8]) == [8])
        #expect(bob.refusal(of: messages[8]) == .duplicateMessage)
        #expect(try bob.decrypt(messages[2008]) == [UInt8(truncatingIfNeeded: 2008)])
    }

    @Test func `five receiving chains are kept`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 5)
        var late: [Ciphertext] = []
        // when
        for _ in 0..<6 {
            late.append(try alice.encrypt([9]))
            _ = try bob.decrypt(try alice.encrypt([1]))
            _ = try alice.decrypt(try bob.encrypt([2]))
        }
        // then
        #expect(bob.record.current?.receiving.count == SessionState.maximumReceivingChains)
        #expect(bob.refusal(of: late[0]) == .badMAC)
        for message in late.dropFirst() { #expect(try bob.decrypt(message) == [9]) }
    }

    @Test func `forty sessions are archived, and the newest that fits a message is promoted`() throws {
        // given
        var alice = Party(seed: 6)
        var bob = Party(seed: 7)
        var first: [Ciphertext] = []
        for number in UInt8(0)..<45 {
            try alice.begin(with: bob.bundle())
            first.append(try alice.encrypt([number]))
            _ = try bob.decrypt(first[Int(number)])
        }
        // when
        try bob.storeAndLoad()
        let answer = try bob.encrypt([1])
        // then
        #expect(alice.record.archivedCount == SessionRecord.maximumArchived)
        #expect(bob.record.archivedCount == SessionRecord.maximumArchived)
        #expect(bob.refusal(of: first[20]) == .duplicateMessage)
        #expect(try alice.decrypt(answer) == [1])
        #expect(bob.record.serialized().count <= SessionRecord.maximumLength)
    }

    @Test func `a prekey message of an archived session continues that session`() throws {
        // given
        var alice = Party(seed: 8)
        var bob = Party(seed: 9)
        try alice.begin(with: bob.bundle(preKey: 1))
        let early = [try alice.encrypt([1]), try alice.encrypt([2])]
        _ = try bob.decrypt(early[0])
        let baseKey = bob.record.currentBaseKey
        try alice.begin(with: bob.bundle(preKey: 2))
        _ = try bob.decrypt(try alice.encrypt([3]))
        // when: its one-time prekey is long consumed
        let plaintext = try bob.decrypt(early[1])
        // then
        #expect(plaintext == [2])
        #expect(bob.record.currentBaseKey == baseKey)
        #expect(bob.record.archivedCount == 1)
    }

    @Test func `another identity starts afresh`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 10)
        var reinstalled = Party(seed: 99)
        let old = try alice.encrypt([1])
        // when
        try reinstalled.begin(with: bob.bundle(preKey: 2))
        let plaintext = try bob.decrypt(try reinstalled.encrypt([2]))
        // then
        #expect(plaintext == [2])
        #expect(bob.record.archivedCount == 0)
        #expect(bob.record.remoteIdentity == reinstalled.own.keyPair.publicKey)
        #expect(bob.refusal(of: old) == .badMAC)
    }

    @Test func `a prekey message may not change the identity of the session it continues`() throws {
        // given
        var alice = Party(seed: 11)
        var bob = Party(seed: 12)
        try alice.begin(with: bob.bundle(preKey: 1))
        _ = try bob.decrypt(try alice.encrypt([1]))
        let header = try PreKeyMessageHeader.parse(try alice.encrypt([2]).bytes)
        let forged = PreKeyMessageHeader(
            registrationID: header.registrationID, preKeyID: header.preKeyID, signedPreKeyID: header.signedPreKeyID,
            identityKey: Party(seed: 13).own.keyPair.publicKey, baseKey: header.baseKey, message: header.message)
        // then
        #expect(bob.refusal(of: Ciphertext(kind: .preKey, bytes: forged.encoded())) == .identityMismatch)
    }

    @Test func `an archived session no longer encrypts but still decrypts`() throws {
        // given
        var (alice, bob) = try acquaintedPair(seed: 14)
        let late = try bob.encrypt([5])
        // when
        alice.record.archiveCurrent()
        alice.record.archiveCurrent()
        // then
        #expect(alice.record.isEmpty)
        #expect(alice.record.archivedCount == 1)
        #expect(alice.record.remoteIdentity == bob.own.keyPair.publicKey)
        #expect(throws: SignalError(.noSession)) { try alice.encrypt([1]) }
        #expect(try alice.decrypt(late) == [5])
        #expect(!alice.record.isEmpty)
    }

    @Test func `a session of another own identity does not encrypt`() throws {
        // given
        var (alice, _) = try acquaintedPair(seed: 15)
        let other = Party(seed: 16).own
        // then
        #expect(throws: SignalError(.identityMismatch)) { try SessionCipher.encrypt([1], own: other, record: &alice.record) }
    }

    @Test func `records and keys do not print themselves`() throws {
        // given
        let (alice, _) = try acquaintedPair(seed: 17)
        // when
        var dumped = ""
        dump(alice.record, to: &dumped)
        // then
        #expect("\(alice.record)" == "SessionRecord(redacted)")
        #expect(dumped.count < 60)
    }
}
