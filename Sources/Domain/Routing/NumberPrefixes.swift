/// The prefixes of a pool's members, one after another, as numbers: comparing them needs no text.
struct NumberPrefixes: Sendable {
    /// By how many digits, and which.
    private struct Prefix: Sendable {
        let length: Int
        let value: UInt64
    }

    /// A recipient's number cut after each of its digits.
    struct Heads {
        /// The value of the first `n` digits at `n`.
        fileprivate let values: [UInt64]

        init(_ digits: String) {
            var values: [UInt64] = [0]
            values.reserveCapacity(16)
            for digit in digits.utf8.prefix(15) { values.append(values[values.count - 1] &* 10 &+ UInt64(digit & 15)) }
            self.values = values
        }
    }

    private var all: [Prefix] = []
    private var ranges: [Range<Int>] = []

    init(_ members: [[String]]) {
        for prefixes in members {
            let start = all.count
            for prefix in prefixes { all.append(Prefix(length: prefix.utf8.count, value: Heads(prefix).values.last ?? 0)) }
            ranges.append(start..<all.count)
        }
    }

    /// How many digits of the number the member's longest prefix fits; 0 if it has no prefixes; nil: none fits.
    func length(of member: Int, _ number: Heads) -> Int? {
        let range = ranges[member]
        if range.isEmpty { return 0 }
        var longest: Int?
        for place in range {
            let prefix = all[place]
            guard prefix.length < number.values.count, number.values[prefix.length] == prefix.value else { continue }
            longest = max(longest ?? 0, prefix.length)
        }
        return longest
    }
}
