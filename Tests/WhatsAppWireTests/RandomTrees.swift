@testable import WhatsAppWire

/// A small seeded generator (SplitMix64), so that every run sees the same inputs.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Nodes of every shape that survives the wire as it is.
struct RandomTrees {
    private var generator: SplitMix

    init(seed: UInt64) { generator = SplitMix(seed: seed) }

    mutating func node(depth: Int) -> Node {
        var attributes: [String: AttributeValue] = [:]
        for _ in 0..<upTo(6) { attributes[text()] = flip() ? .jid(jid()) : .string(text()) }
        return Node(tag: text(), attributes: attributes, content: content(depth: depth))
    }

    private mutating func content(depth: Int) -> Node.Content {
        switch upTo(4) {
        case 0: return .none
        case 1: return .bytes((0..<upTo(600)).map { _ in UInt8.random(in: 0...255, using: &generator) })
        case 2:
            // Text that must be spelled out in bytes comes back as bytes.
            return .text(
                flip() ? TokenDictionary.strings[1 + upTo(TokenDictionary.strings.count - 2)] : String(characters("0123456789-.").prefix(127)))
        case 3: return .jid(jid())
        default:
            // An empty list would come back as no content.
            if depth == 0 { return .none }
            return .nodes((0...upTo(4)).map { _ in node(depth: depth - 1) })
        }
    }

    private mutating func text() -> String {
        switch upTo(4) {
        case 0: return TokenDictionary.strings[1 + upTo(TokenDictionary.strings.count - 2)]
        case 1: return characters("0123456789-.")
        case 2: return characters("0123456789ABCDEF")
        case 3: return characters("0123456789abcXYZ @:é€🙂")
        default: return characters("GHIJ")
        }
    }

    private mutating func jid() -> JID {
        let device = UInt8.random(in: 0...255, using: &generator)
        let user = String(UInt64.random(in: 1...UInt64.max, using: &generator))
        switch upTo(7) {
        case 0: return .phone(user)
        case 1: return .phone(user, device: UInt16(device))
        case 2: return .lid(user, device: UInt16(device))
        case 3: return JID(user: user, server: flip() ? .hosted : .hostedLID, device: UInt16(device))
        case 4: return JID(user: user, server: .messenger, device: UInt16(device) &* 257)
        case 5: return JID(user: user, server: .interop, device: UInt16(device) &* 257, integrator: UInt16(device) &* 3)
        case 6: return JID(user: user, server: .phone, device: UInt16(device), agent: 7)
        default: return JID(user: flip() ? "" : user, server: .group)
        }
    }

    /// 1 to 300 of these.
    private mutating func characters(_ alphabet: String) -> String {
        let choices = Array(alphabet)
        let longest = flip() ? 12 : 299
        return String((0...upTo(longest)).map { _ in choices[upTo(choices.count - 1)] })
    }

    private mutating func upTo(_ limit: Int) -> Int { Int.random(in: 0...limit, using: &generator) }
    private mutating func flip() -> Bool { Bool.random(using: &generator) }
}

extension [UInt8] {
    /// Flips a bit, sets, inserts or removes a byte, or doubles a stretch.
    mutating func mutate(using generator: inout SplitMix) {
        guard !isEmpty else { return }
        let place = Int.random(in: 0..<count, using: &generator)
        switch Int.random(in: 0...4, using: &generator) {
        case 0: self[place] ^= 1 << UInt8.random(in: 0...7, using: &generator)
        case 1: self[place] = UInt8.random(in: 0...255, using: &generator)
        case 2: insert(UInt8.random(in: 0...255, using: &generator), at: place)
        case 3: remove(at: place)
        default: insert(contentsOf: self[place..<Swift.min(place + 8, count)], at: place)
        }
    }
}
