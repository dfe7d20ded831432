/// Reads one node. Lives in `NodeCodec.decode`. Everything it reads is a peer's: each length is checked before it is used.
struct NodeDecoder {
    private let bytes: [UInt8]
    private var position: Int
    private var nodeCount = 0
    private var attributeCount = 0

    init(_ bytes: [UInt8], from position: Int) {
        self.bytes = bytes
        self.position = position
    }

    /// The node that all bytes together make.
    mutating func stanza() throws(WireError) -> Node {
        let node = try node(depth: 1)
        guard remaining == 0 else { throw WireError(.malformed, "bytes left over") }
        return node
    }

    // MARK: Nodes

    private mutating func node(depth: Int) throws(WireError) -> Node {
        nodeCount += 1
        guard depth <= NodeCodec.Limits.depth, nodeCount <= NodeCodec.Limits.nodes else { throw WireError(.limitExceeded, "too many nodes") }
        let size = try listSize(byte())
        guard size > 0 else { throw WireError(.malformed, "node without items") }
        guard size <= remaining else { throw WireError(.malformed, "list longer than the frame") }
        let tag = try string(byte())
        guard !tag.isEmpty else { throw WireError(.malformed, "empty tag") }
        let attributes = try attributes((size - 1) / 2)
        return Node(tag: tag, attributes: attributes, content: size.isMultiple(of: 2) ? try content(depth: depth) : .none)
    }

    private mutating func attributes(_ count: Int) throws(WireError) -> [String: AttributeValue] {
        guard count > 0 else { return [:] }
        attributeCount += count
        guard attributeCount <= NodeCodec.Limits.attributes else { throw WireError(.limitExceeded, "too many attributes") }
        var attributes = [String: AttributeValue](minimumCapacity: count)
        for _ in 0..<count {
            let key = try string(byte())
            let value = try attributeValue(byte())
            guard attributes.updateValue(value, forKey: key) == nil else { throw WireError(.malformed, "duplicate attribute") }
        }
        return attributes
    }

    private mutating func attributeValue(_ tag: UInt8) throws(WireError) -> AttributeValue {
        if let jid = try jid(tag) { return .jid(jid) }
        return .string(tag == WireTag.listEmpty ? "" : try string(tag))
    }

    private mutating func content(depth: Int) throws(WireError) -> Node.Content {
        let tag = try byte()
        switch tag {
        case WireTag.listEmpty: return .none
        case WireTag.list8, WireTag.list16:
            let count = try listSize(tag)
            // A node needs two bytes at least.
            guard count <= remaining / 2 else { throw WireError(.malformed, "list longer than the frame") }
            var children: [Node] = []
            children.reserveCapacity(count)
            for _ in 0..<count { children.append(try node(depth: depth + 1)) }
            return .nodes(children)
        case WireTag.binary8, WireTag.binary20, WireTag.binary32: return .bytes(Array(try take(binaryLength(tag))))
        default:
            if let jid = try jid(tag) { return .jid(jid) }
            return .text(try string(tag))
        }
    }

    private mutating func listSize(_ tag: UInt8) throws(WireError) -> Int {
        switch tag {
        case WireTag.listEmpty: return 0
        case WireTag.list8: return Int(try byte())
        case WireTag.list16: return Int(try uint16())
        default: throw WireError(.malformed, "not a list")
        }
    }

    // MARK: Strings

    private mutating func string(_ tag: UInt8) throws(WireError) -> String {
        switch tag {
        case 1..<WireTag.dictionary0: return TokenDictionary.strings[Int(tag)]
        case WireTag.dictionary0...WireTag.dictionary3:
            let dictionary = Int(tag - WireTag.dictionary0) * TokenDictionary.doubleCount
            return TokenDictionary.strings[TokenDictionary.singleCount + dictionary + Int(try byte())]
        case WireTag.nibble8: return try packed(.digits)
        case WireTag.hex8: return try packed(.hex)
        case WireTag.binary8, WireTag.binary20, WireTag.binary32:
            guard let text = String(validating: try take(binaryLength(tag)), as: UTF8.self) else { throw WireError(.malformed, "text is not UTF-8") }
            return text
        default: throw WireError(.malformed, "not a string")
        }
    }

    private mutating func packed(_ alphabet: PackedAlphabet) throws(WireError) -> String {
        let header = try byte()
        let isOdd = header & 0x80 != 0
        let packed = try take(Int(header & 0x7F))
        guard let last = packed.last else {
            if isOdd { throw WireError(.malformed, "odd length of no bytes") }
            return ""
        }
        var characters: [UInt8] = []
        characters.reserveCapacity(2 * packed.count)
        for pair in packed {
            guard let high = alphabet.character(pair >> 4) else { throw WireError(.malformed, "packed character") }
            characters.append(high)
            guard let low = alphabet.character(pair & 15) else {
                // The digits have no 15, so there it can only be the padding of the last byte.
                guard isOdd, pair & 15 == PackedAlphabet.padding, characters.count == 2 * packed.count - 1 else {
                    throw WireError(.malformed, "packed character")
                }
                break
            }
            characters.append(low)
        }
        if isOdd {
            guard last & 15 == PackedAlphabet.padding else { throw WireError(.malformed, "packed padding") }
            characters.removeLast(characters.count - (2 * packed.count - 1))
        }
        return String(decoding: characters, as: UTF8.self)
    }

    private mutating func binaryLength(_ tag: UInt8) throws(WireError) -> Int {
        switch tag {
        case WireTag.binary8: return Int(try byte())
        case WireTag.binary20: return Int(try byte() & 0x0F) << 16 | Int(try uint16())
        default: return Int(try uint16()) << 16 | Int(try uint16())
        }
    }

    // MARK: JIDs

    /// The JID that starts with this tag; nil when the tag starts something else.
    private mutating func jid(_ tag: UInt8) throws(WireError) -> JID? {
        switch tag {
        case WireTag.jidPair:
            let userTag = try byte()
            let user = userTag == WireTag.listEmpty ? "" : try string(userTag)
            return JID(user: user, server: try server())
        case WireTag.deviceJID:
            let domain = try byte()
            let device = UInt16(try byte())
            let user = try user()
            switch domain {
            case 0: return JID(user: user, server: .phone, device: device)
            case 1: return JID(user: user, server: .lid, device: device)
            case 128: return JID(user: user, server: .hosted, device: device)
            case 129: return JID(user: user, server: .hostedLID, device: device)
            default: return JID(user: user, server: .phone, device: device, agent: domain)
            }
        case WireTag.messengerJID:
            let jid = JID(user: try user(), server: .messenger, device: try uint16())
            guard try server() == .messenger else { throw WireError(.malformed, "messenger JID of another server") }
            return jid
        case WireTag.interopJID:
            let jid = JID(user: try user(), server: .interop, device: try uint16(), integrator: try uint16())
            guard try server() == .interop else { throw WireError(.malformed, "interop JID of another server") }
            return jid
        default: return nil
        }
    }

    private mutating func user() throws(WireError) -> String {
        let user = try string(byte())
        guard !user.isEmpty else { throw WireError(.malformed, "JID without user") }
        return user
    }

    private mutating func server() throws(WireError) -> JID.Server {
        let server = try string(byte())
        guard !server.isEmpty else { throw WireError(.malformed, "JID without server") }
        return JID.Server(rawValue: server)
    }

    // MARK: Bytes

    private var remaining: Int { bytes.count - position }

    private mutating func byte() throws(WireError) -> UInt8 {
        guard position < bytes.count else { throw WireError(.malformed, "ends early") }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func uint16() throws(WireError) -> UInt16 {
        let high = try byte()
        return UInt16(high) << 8 | UInt16(try byte())
    }

    private mutating func take(_ count: Int) throws(WireError) -> ArraySlice<UInt8> {
        guard count <= remaining else { throw WireError(.malformed, "ends early") }
        defer { position += count }
        return bytes[position..<position + count]
    }
}
