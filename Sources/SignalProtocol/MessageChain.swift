import Primitives

/// A symmetric chain on the receiving side, of a ratchet key or of a sender key: hands out the seed of each message's keys once.
struct MessageChain: Sendable {
    /// Beyond this many messages ahead a message is refused, so that a peer cannot make us compute for ever (protocol.md 9.6, 11).
    static let maximumAhead: UInt32 = 2000

    /// The chain key of the message `index`.
    private(set) var key: [UInt8]
    private(set) var index: UInt32
    private(set) var skipped: SkippedSeeds

    init(key: [UInt8], index: UInt32, skipped: SkippedSeeds = SkippedSeeds()) {
        self.key = key
        self.index = index
        self.skipped = skipped
    }

    /// The seed of message `counter`, which is used up by it; seeds of messages between are kept for later.
    ///
    /// - Throws: `duplicateMessage`, `tooFarAhead`; the chain may then have changed, so work on a copy.
    mutating func takeSeed(of counter: UInt32) throws(SignalError) -> [UInt8] {
        guard counter >= index else {
            guard let seed = skipped.take(counter) else { throw SignalError(.duplicateMessage) }
            return seed
        }
        guard counter - index <= Self.maximumAhead else { throw SignalError(.tooFarAhead) }
        guard counter < UInt32.max else { throw SignalError(.chainExhausted) }
        while index < counter {
            skipped.append(index, ChainKey.seed(key))
            key = ChainKey.next(key)
            index += 1
        }
        skipped.trim()
        let seed = ChainKey.seed(key)
        key = ChainKey.next(key)
        index += 1
        return seed
    }
}

/// One step of a symmetric chain (protocol.md 9.6): both halves are HMAC-SHA256 of a constant under the chain key.
enum ChainKey {
    static func seed(_ key: [UInt8]) -> [UInt8] { HMAC256.authenticate([0x01], key: key) }
    static func next(_ key: [UInt8]) -> [UInt8] { HMAC256.authenticate([0x02], key: key) }
}

/// Seeds of messages that were passed over, packed as they are stored (36 bytes each: counter, seed), oldest first, so that a record with thousands of them
/// is read and written with one copy.
struct SkippedSeeds: Sendable {
    /// Per chain; the oldest are dropped beyond it (protocol.md 9.6).
    static let maximumCount = 2000
    static let entryLength = 36

    private(set) var packed: [UInt8]

    init() {
        packed = []
    }

    /// Takes entries as `packed` gave them. A length that is no multiple of an entry, or more than the maximum, is not ours.
    init(packed: [UInt8]) throws(SignalError) {
        guard packed.count.isMultiple(of: Self.entryLength), packed.count <= Self.maximumCount * Self.entryLength else {
            throw SignalError(.invalidRecord)
        }
        self.packed = packed
    }

    var count: Int { packed.count / Self.entryLength }

    /// The caller calls `trim` after its last one.
    mutating func append(_ counter: UInt32, _ seed: [UInt8]) {
        packed.append(number32: counter)
        packed += seed
    }

    /// Drops the oldest beyond the maximum: once after a run, because dropping moves all the others.
    mutating func trim() {
        let excess = packed.count - Self.maximumCount * Self.entryLength
        if excess > 0 { packed.removeFirst(excess) }
    }

    /// Removes and returns the seed of `counter`, nil if it is not there.
    mutating func take(_ counter: UInt32) -> [UInt8]? {
        for offset in stride(from: 0, to: packed.count, by: Self.entryLength) where packed.number32(at: offset) == counter {
            let seed = Array(packed[offset + 4..<offset + Self.entryLength])
            packed.removeSubrange(offset..<offset + Self.entryLength)
            return seed
        }
        return nil
    }
}
