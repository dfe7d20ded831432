/// The outermost layer inside the WebSocket: a length of 3 bytes, big-endian and not counting itself, then that many bytes.
package enum Frame {
    /// The first bytes a client sends, once per connection: `WA`, protocol 6, dictionary version 3 (protocol.md 2.2). Also enter the handshake hash.
    package static let intro: [UInt8] = [0x57, 0x41, 0x06, 0x03]

    /// The longest payload whose length fits into 3 bytes.
    package static let maximumPayload = 0xFF_FFFF

    /// Length and payload. The payload is ours and at most `maximumPayload` long; `NodeCodec.encode` sees to that.
    package static func encode(_ payload: [UInt8]) -> [UInt8] {
        precondition(payload.count <= maximumPayload, "a frame's length has 3 bytes")
        var frame: [UInt8] = []
        frame.reserveCapacity(3 + payload.count)
        frame.append(UInt8(truncatingIfNeeded: payload.count >> 16))
        frame.append(UInt8(truncatingIfNeeded: payload.count >> 8))
        frame.append(UInt8(truncatingIfNeeded: payload.count))
        frame.append(contentsOf: payload)
        return frame
    }
}
