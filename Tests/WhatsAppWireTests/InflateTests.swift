import CZlib
import Testing

@testable import WhatsAppWire

@Suite struct InflateTests {
    @Test func `a compressed frame is read, whatever the other flags`() throws {
        // given
        let node = HostileInputTests.rich
        let body = Self.compressed(try NodeCodec.encode(node).dropFirst())

        // when, then
        #expect(try NodeCodec.decode(frame: [2] + body) == node)
        #expect(try NodeCodec.decode(frame: [0xFF] + body) == node)
    }

    @Test func `every truncation, and bytes behind the stream, are errors`() throws {
        // given
        let body = Self.compressed(try NodeCodec.encode(HostileInputTests.rich).dropFirst())

        // when, then
        for length in 0..<body.count {
            #expect { try NodeCodec.decode(frame: [2] + body[..<length]) } throws: { ($0 as? WireError)?.code == .malformed }
        }
        #expect(throws: WireError(.malformed, "bytes behind the zlib stream")) { try NodeCodec.decode(frame: [2] + body + [0]) }
    }

    @Test func `a bomb is stopped at the limit`() {
        // given: 64 MiB of zeros in 64 KiB
        let bomb = Self.compressed([UInt8](repeating: 0, count: 64 << 20)[...])

        // when, then
        #expect(bomb.count < 1 << 17)
        #expect(throws: WireError(.limitExceeded, "inflated frame too long")) { try NodeCodec.decode(frame: [2] + bomb) }
    }

    @Test func `the limit itself is allowed`() throws {
        // given
        let body = Self.compressed([UInt8](repeating: 1, count: 40_000)[...])

        // when, then
        #expect(try Inflate.zlib(body[...], limit: 40_000).count == 40_000)
        #expect(throws: WireError(.limitExceeded, "inflated frame too long")) { try Inflate.zlib(body[...], limit: 39_999) }
    }

    @Test func `mutated streams give an error or a node`() throws {
        // given
        var generator = SplitMix(seed: 3)
        let body = Self.compressed(try NodeCodec.encode(HostileInputTests.rich).dropFirst())

        for _ in 0..<2_000 {
            // when
            var frame = [2] + body
            frame.mutate(using: &generator)

            // then: no trap
            _ = HostileInputTests.decoded(frame)
        }
    }

    private static func compressed(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let input = Array(bytes)
        var length = compressBound(UInt(input.count))
        var output = [UInt8](repeating: 0, count: Int(length))
        let status = compress2(&output, &length, input, UInt(input.count), Z_BEST_COMPRESSION)
        #expect(status == Z_OK)
        return Array(output.prefix(Int(length)))
    }
}
