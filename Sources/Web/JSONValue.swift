/// A JSON text as it was written (RFC 8259), numbers still as text. Made by `JSONReader`, read by `StrictFields`.
enum JSONValue: Sendable {
    struct Member: Sendable {
        let name: String
        let value: JSONValue
    }

    case null
    case bool(Bool)
    /// Its grammar is right; whether it fits is for whoever reads it.
    case number(ArraySlice<UInt8>)
    case string(String)
    /// A string whose escapes are no Unicode text, such as half a surrogate pair.
    case unreadableString
    case array([JSONValue])
    case object([Member])

    var isNull: Bool { if case .null = self { true } else { false } }

    var text: String? { if case .string(let text) = self { text } else { nil } }

    /// A whole number that fits, also when it is written as `1.0` or `1e2`.
    var integer: Int? {
        guard case .number(let digits) = self else { return nil }
        var value = 0
        var rest = digits
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative { rest.removeFirst() }
        for digit in rest {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return double.flatMap { Int(exactly: $0) } }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isTooFar) = product.subtractingReportingOverflow(Int(digit - UInt8(ascii: "0")))
            guard !isTooLarge, !isTooFar else { return nil }
            value = sum
        }
        // Counted downwards, since the least integer has no positive twin.
        if isNegative { return value }
        return value == .min ? nil : -value
    }

    /// Nearest to what is written; nil when that is beyond all finite numbers.
    var double: Double? {
        guard case .number(let digits) = self, let value = Double(String(decoding: digits, as: UTF8.self)), value.isFinite else { return nil }
        return value
    }
}
