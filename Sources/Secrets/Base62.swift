/// Base 62 with the alphabet 0–9 A–Z a–z, big endian, always of a stated number of digits.
enum Base62 {
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// The value of a digit; `nil` for any other byte.
    static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit - UInt8(ascii: "a") + 36
        default: nil
        }
    }

    /// The lowest `digits` digits of the big-endian number in `bytes`. What does not fit is lost.
    static func encode(_ bytes: [UInt8], digits: Int) -> [UInt8] {
        var number = bytes
        var text = [UInt8](repeating: alphabet[0], count: digits)
        for position in stride(from: digits - 1, through: 0, by: -1) {
            var remainder: UInt = 0
            for index in number.indices {
                let value = remainder << 8 | UInt(number[index])
                number[index] = UInt8(value / 62)
                remainder = value % 62
            }
            text[position] = alphabet[Int(remainder)]
        }
        return text
    }

    /// The number as `count` bytes, big endian; `nil` if it does not fit or a digit is none.
    static func decode(_ text: some Sequence<UInt8>, count: Int) -> [UInt8]? {
        var number = [UInt8](repeating: 0, count: count)
        for character in text {
            guard let digit = value(of: character) else { return nil }
            var carry = UInt(digit)
            for index in number.indices.reversed() {
                let value = UInt(number[index]) * 62 + carry
                number[index] = UInt8(truncatingIfNeeded: value)
                carry = value >> 8
            }
            guard carry == 0 else { return nil }
        }
        return number
    }
}
