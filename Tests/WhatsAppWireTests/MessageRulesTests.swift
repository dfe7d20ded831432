import Testing

@testable import WhatsAppWire

/// The small rules around a message: participant hash, id, padding.
@Suite struct MessageRulesTests {
    @Test func `the participant hash is that of appendix C, in any order`() {
        // given
        let devices: [JID] = [.lid("123456789012345"), .lid("123456789012345", device: 7), .lid("98765", device: 12)]

        // when, then
        #expect(ParticipantHash.phash([]) == "2:47DEQpj8")
        #expect(ParticipantHash.phash(devices) == "2:Z1YjqsMn")
        #expect(ParticipantHash.phash(devices.reversed()) == "2:Z1YjqsMn")
    }

    @Test func `a message id is that of appendix C`() {
        // given, when
        let id = MessageID.make(unixSeconds: 1_700_000_000, ownNumber: "15551234567", random: [UInt8](0...15))

        // then
        #expect(id == "3EB05765B9D1119841E331")
        #expect(MessageID.isWellFormed(id))
    }

    @Test(arguments: [
        "", "3EB0", "3EB05765b9d1119841e331", "3EB05765B9D1119841E33", "3EB05765B9D1119841E3311", "4EB05765B9D1119841E331", "3EB05765B9D1119841E33G",
    ])
    func `another form is no id of ours`(_ id: String) {
        // given, when, then
        #expect(!MessageID.isWellFormed(id))
    }

    @Test func `padding of every random byte comes off again`() throws {
        // given
        let message: [UInt8] = [1, 2, 3]

        for random in UInt8.min...UInt8.max {
            // when
            let padded = MessagePadding.pad(message, random: random)

            // then
            #expect((4...18).contains(padded.count))
            #expect(try MessagePadding.unpad(padded) == message)
        }
        #expect(MessagePadding.pad([], random: 0x10) == [UInt8](repeating: 15, count: 15))
    }

    @Test(arguments: [[], [2], [9, 3, 2], [5, 5, 5, 5]] as [[UInt8]]) func `damaged padding is refused`(_ padded: [UInt8]) throws {
        // given, when, then
        #expect { try MessagePadding.unpad(padded) } throws: { ($0 as? WireError)?.code == .padding }
        #expect(try MessagePadding.unpad(padded, version: 3) == padded)
    }
}
