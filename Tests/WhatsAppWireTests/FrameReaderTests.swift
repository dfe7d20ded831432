import Testing

@testable import WhatsAppWire

@Suite struct FrameReaderTests {
    @Test(arguments: 1...12) func `frames come out whole however the stream is cut`(_ size: Int) throws {
        // given
        let payloads: [[UInt8]] = [[1], [], [UInt8](repeating: 9, count: 300), [2, 3], [UInt8](0...255)]
        let stream = Frame.intro + payloads.flatMap(Frame.encode)
        var reader = FrameReader(expectsIntro: true)

        // when
        var received: [[UInt8]] = []
        for start in stride(from: 0, to: stream.count, by: size) {
            reader.append(stream[start..<min(start + size, stream.count)])
            while let payload = try reader.next() { received.append(payload) }
        }

        // then
        #expect(received == payloads)
        #expect(reader.bufferedCount == 0)
    }

    @Test func `several frames in one chunk come out one after the other`() throws {
        // given
        var reader = FrameReader()

        // when
        reader.append(Frame.encode([1]) + Frame.encode([2, 2]) + Frame.encode([3, 3, 3]).dropLast())

        // then
        #expect(try reader.next() == [1])
        #expect(try reader.next() == [2, 2])
        #expect(try reader.next() == nil)
        reader.append([3])
        #expect(try reader.next() == [3, 3, 3])
        #expect(try reader.next() == nil)
    }

    @Test func `a frame longer than allowed is refused at its length, for good`() throws {
        // given
        var reader = FrameReader(maximumLength: 4)
        reader.append(Frame.encode([1, 2, 3, 4]) + [0, 0, 5])

        // when, then
        #expect(try reader.next() == [1, 2, 3, 4])
        #expect(throws: WireError(.limitExceeded, "frame too long")) { try reader.next() }
        reader.append([1, 2, 3, 4, 5])
        #expect(throws: WireError(.limitExceeded, "frame too long")) { try reader.next() }
    }

    @Test func `a wrong intro is refused at its first wrong byte`() throws {
        // given
        var reader = FrameReader(expectsIntro: true)

        // when, then
        reader.append([0x57])
        #expect(try reader.next() == nil)
        reader.append([0x42])
        #expect(throws: WireError(.malformed, "wrong intro")) { try reader.next() }
    }

    @Test func `long streams through one reader keep their order`() throws {
        // given
        var reader = FrameReader()
        var generator = SplitMix(seed: 5)
        var sent: [[UInt8]] = []
        var received: [[UInt8]] = []

        // when: chunks that end in the middle of frames, beyond the size at which the buffer is moved
        var pending: [UInt8] = []
        for number in 0..<2_000 {
            let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: Int.random(in: 0...400, using: &generator))
            sent.append(payload)
            pending += Frame.encode(payload)
            guard number % 500 == 499 else { continue }
            reader.append(pending.dropLast(2))
            pending = pending.suffix(2)
            while let payload = try reader.next() { received.append(payload) }
        }
        reader.append(pending)
        while let payload = try reader.next() { received.append(payload) }

        // then
        #expect(received == sent)
    }

    @Test func `a frame starts with its length in three bytes`() {
        // given, when
        let frame = Frame.encode([UInt8](repeating: 0, count: 0x01_0203))

        // then
        #expect(frame.prefix(3) == [1, 2, 3])
        #expect(frame.count == 3 + 0x01_0203)
    }
}
