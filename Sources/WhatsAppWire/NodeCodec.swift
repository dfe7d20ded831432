/// Turns nodes into the plaintext of frames and back (protocol.md 3). Knows no state: any frame can be read by itself.
package enum NodeCodec {
    /// The flags byte, always 0, and the node. Attributes are written in ascending byte order of their keys.
    /// Throws `limitExceeded` for what no receiver would accept: deeper, longer or more numerous than `Limits`,
    /// and `malformed` for an empty tag or a JID that has no form on the wire.
    package static func encode(_ node: Node) throws(WireError) -> [UInt8] {
        var encoder = NodeEncoder()
        try encoder.write(node, depth: 1)
        guard encoder.bytes.count <= Limits.encodedBytes else { throw WireError(.limitExceeded, "stanza too long") }
        return encoder.bytes
    }

    /// Reads the plaintext of one frame: flags, then a node, compressed if flag 2 is set; the other flags mean nothing.
    /// Takes any choice of encoding a peer may make. Throws `malformed` or `limitExceeded`; the frame is then lost, the connection is not.
    package static func decode(frame plaintext: [UInt8]) throws(WireError) -> Node {
        guard let flags = plaintext.first else { throw WireError(.malformed, "empty frame") }
        if flags & compressedFlag == 0 {
            var decoder = NodeDecoder(plaintext, from: 1)
            return try decoder.stanza()
        }
        var decoder = NodeDecoder(try Inflate.zlib(plaintext[1...], limit: Limits.inflatedBytes), from: 0)
        return try decoder.stanza()
    }

    /// What we accept from a peer (protocol.md 3.6). All far above what the gateway's stanzas need.
    package enum Limits {
        /// Nodes inside nodes, the stanza being 1. The deepest legitimate one is about 6.
        package static let depth = 32
        /// Nodes in one frame.
        package static let nodes = 50_000
        /// Attributes in one frame: a bound on memory, since a byte can stand for a whole entry of a dictionary.
        package static let attributes = 250_000
        /// The size of a compressed frame once inflated: 4 MiB.
        package static let inflatedBytes = 4 << 20
        /// The longest plaintext whose frame, with its tag of 16 bytes, still has a length of 3 bytes.
        package static let encodedBytes = Frame.maximumPayload - 16
    }

    private static let compressedFlag: UInt8 = 2
}

/// The first byte of every value (protocol.md 3.2). From 1 to 235 it is a token itself, from 236 to 239 a dictionary.
enum WireTag {
    static let listEmpty: UInt8 = 0
    static let dictionary0: UInt8 = 236
    static let dictionary3: UInt8 = 239
    static let interopJID: UInt8 = 245
    static let messengerJID: UInt8 = 246
    static let deviceJID: UInt8 = 247
    static let list8: UInt8 = 248
    static let list16: UInt8 = 249
    static let jidPair: UInt8 = 250
    static let hex8: UInt8 = 251
    static let binary8: UInt8 = 252
    static let binary20: UInt8 = 253
    static let binary32: UInt8 = 254
    static let nibble8: UInt8 = 255
}
