/// The strings both sides know by number: 235 of one byte, four dictionaries of 256 with two (protocol.md 3.2).
enum TokenDictionary {
    /// All tokens in one list: 0 to 235 the single ones, then the four dictionaries one after the other.
    static let strings: [String] = single + double0 + double1 + double2 + double3

    static let singleCount = 236
    static let doubleCount = 256

    /// The place of a string in `strings`; nil when it is no token. Compares bytes, so no Unicode equivalence can match a token.
    static func index(of utf8: UnsafeBufferPointer<UInt8>) -> Int? {
        guard utf8.count <= table.longest, !utf8.isEmpty else { return nil }
        var slot = Table.slot(utf8)
        while true {
            let entry = Int(table.slots[slot])
            if entry == 0 { return nil }
            if table.matches(entry, utf8) { return entry }
            slot = (slot + 1) & Table.mask
        }
    }

    private static let table = Table(strings)

    /// Open addressing over the bytes of all tokens; a third full, so a miss ends after about one step.
    private struct Table: Sendable {
        static let mask = 4095

        /// Indexes of tokens; 0 is free, since token 0 is the empty string.
        private(set) var slots = [UInt16](repeating: 0, count: mask + 1)
        /// Token `i` is `bytes[ends[i - 1]..<ends[i]]`.
        private var ends: [Int] = []
        private var bytes: [UInt8] = []
        private(set) var longest = 0

        init(_ tokens: [String]) {
            for (index, token) in tokens.enumerated() {
                let utf8 = Array(token.utf8)
                bytes += utf8
                ends.append(bytes.count)
                longest = max(longest, utf8.count)
                guard index > 0 else { continue }
                var slot = utf8.withUnsafeBufferPointer(Self.slot)
                while slots[slot] != 0 { slot = (slot + 1) & Self.mask }
                slots[slot] = UInt16(index)
            }
        }

        /// FNV-1a, folded: short strings, and an attacker gains nothing from collisions with a fixed set.
        static func slot(_ utf8: UnsafeBufferPointer<UInt8>) -> Int {
            var hash: UInt32 = 2_166_136_261
            for byte in utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
            return Int((hash ^ (hash >> 15)) & UInt32(mask))
        }

        func matches(_ index: Int, _ utf8: UnsafeBufferPointer<UInt8>) -> Bool {
            let start = ends[index - 1]
            guard ends[index] - start == utf8.count else { return false }
            for offset in 0..<utf8.count where bytes[start + offset] != utf8[offset] { return false }
            return true
        }
    }
}
