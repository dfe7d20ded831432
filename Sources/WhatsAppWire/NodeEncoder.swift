/// Writes one node. Lives in `NodeCodec.encode`.
struct NodeEncoder {
    /// Starts with the flags byte: 0, nothing compressed.
    private(set) var bytes: [UInt8] = [0]
    private var nodeCount = 0

    init() { bytes.reserveCapacity(512) }

    mutating func write(_ node: Node, depth: Int) throws(WireError) {
        nodeCount += 1
        guard depth <= NodeCodec.Limits.depth, nodeCount <= NodeCodec.Limits.nodes else { throw WireError(.limitExceeded, "too many nodes") }
        guard !node.tag.isEmpty else { throw WireError(.malformed, "empty tag") }

        var attributes: [(key: String, value: AttributeValue)] = []
        attributes.reserveCapacity(node.attributes.count)
        for attribute in node.attributes where !attribute.value.isEmptyText { attributes.append(attribute) }
        attributes.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        let hasContent = node.content != .none
        try writeList(1 + 2 * attributes.count + (hasContent ? 1 : 0))
        write(node.tag)
        for (key, value) in attributes {
            write(key)
            switch value {
            case .string(let text): write(text)
            case .jid(let jid): try write(jid)
            }
        }
        switch node.content {
        case .none: break
        case .bytes(let content): content.withUnsafeBufferPointer { writeBinary($0) }
        case .text(let text): write(text)
        case .jid(let jid): try write(jid)
        case .nodes(let children):
            try writeList(children.count)
            for child in children { try write(child, depth: depth + 1) }
        }
    }

    private mutating func writeList(_ count: Int) throws(WireError) {
        switch count {
        case 0: bytes.append(WireTag.listEmpty)
        case ...0xFF: append(WireTag.list8, UInt8(count))
        case ...0xFFFF:
            bytes.append(WireTag.list16)
            append(UInt16(count))
        default: throw WireError(.limitExceeded, "list too long")
        }
    }

    /// In the order that the official clients try: token, packed digits, packed hex, bytes (protocol.md 3.3).
    private mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { writeString($0) }
    }

    private mutating func writeString(_ utf8: UnsafeBufferPointer<UInt8>) {
        if let token = TokenDictionary.index(of: utf8) {
            if token < TokenDictionary.singleCount {
                bytes.append(UInt8(token))
            } else {
                let index = token - TokenDictionary.singleCount
                append(WireTag.dictionary0 + UInt8(index / TokenDictionary.doubleCount), UInt8(index % TokenDictionary.doubleCount))
            }
        } else if utf8.count <= PackedAlphabet.maximumLength, PackedAlphabet.digits.covers(utf8) {
            writePacked(utf8, WireTag.nibble8, .digits)
        } else if utf8.count <= PackedAlphabet.maximumLength, PackedAlphabet.hex.covers(utf8) {
            writePacked(utf8, WireTag.hex8, .hex)
        } else {
            writeBinary(utf8)
        }
    }

    private mutating func writePacked(_ utf8: UnsafeBufferPointer<UInt8>, _ tag: UInt8, _ alphabet: PackedAlphabet) {
        let isOdd = !utf8.count.isMultiple(of: 2)
        append(tag, UInt8((utf8.count + 1) / 2) | (isOdd ? 0x80 : 0))
        for offset in stride(from: 0, to: utf8.count, by: 2) {
            let high = alphabet.nibble(utf8[offset]) ?? 0
            let low = offset + 1 < utf8.count ? alphabet.nibble(utf8[offset + 1]) ?? 0 : PackedAlphabet.padding
            bytes.append(high << 4 | low)
        }
    }

    /// A length beyond 4 bytes is cut off here and the stanza then refused by `NodeCodec.encode`, as any above `Limits.encodedBytes`.
    private mutating func writeBinary(_ content: UnsafeBufferPointer<UInt8>) {
        switch content.count {
        case ...0xFF: append(WireTag.binary8, UInt8(content.count))
        case ...0xF_FFFF:
            append(WireTag.binary20, UInt8(content.count >> 16))
            append(UInt16(truncatingIfNeeded: content.count))
        default:
            bytes.append(WireTag.binary32)
            append(UInt16(truncatingIfNeeded: content.count >> 16))
            append(UInt16(truncatingIfNeeded: content.count))
        }
        bytes.append(contentsOf: content)
    }

    /// Device form where the server has a domain byte and a device is named, pair form otherwise (protocol.md 3.5).
    private mutating func write(_ jid: JID) throws(WireError) {
        switch jid.server {
        case .messenger:
            guard !jid.user.isEmpty else { throw WireError(.malformed, "messenger JID without user") }
            bytes.append(WireTag.messengerJID)
            write(jid.user)
            append(jid.device)
            write(jid.server.rawValue)
        case .interop:
            guard !jid.user.isEmpty else { throw WireError(.malformed, "interop JID without user") }
            bytes.append(WireTag.interopJID)
            write(jid.user)
            append(jid.device)
            append(jid.integrator)
            write(jid.server.rawValue)
        case .hosted, .hostedLID: try writeDevice(jid)
        case .phone where jid.device > 0 || jid.agent > 0: try writeDevice(jid)
        case .lid where jid.device > 0: try writeDevice(jid)
        default:
            guard !jid.server.rawValue.isEmpty else { throw WireError(.malformed, "JID without server") }
            bytes.append(WireTag.jidPair)
            if jid.user.isEmpty { bytes.append(WireTag.listEmpty) } else { write(jid.user) }
            write(jid.server.rawValue)
        }
    }

    private mutating func writeDevice(_ jid: JID) throws(WireError) {
        guard let device = UInt8(exactly: jid.device), !jid.user.isEmpty else { throw WireError(.malformed, "device JID without user or beyond 255") }
        append(WireTag.deviceJID, jid.domainNumber)
        bytes.append(device)
        write(jid.user)
    }

    private mutating func append(_ first: UInt8, _ second: UInt8) {
        bytes.append(first)
        bytes.append(second)
    }

    private mutating func append(_ value: UInt16) {
        append(UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value))
    }
}

extension AttributeValue {
    fileprivate var isEmptyText: Bool {
        if case .string(let text) = self { text.isEmpty } else { false }
    }
}
