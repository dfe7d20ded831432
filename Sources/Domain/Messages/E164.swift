/// A phone number in E.164 form, kept without its plus: 7 to 15 ASCII digits, the first not 0.
/// The upper bound is ITU-T E.164 §6; the lower one is ours.
package struct E164: Hashable, Sendable, CustomStringConvertible {
    package let digits: String

    /// Reads `+` and digits. Spaces, dashes and national forms are refused.
    package init(_ text: String) throws(InvalidNumber) {
        guard text.utf8.first == UInt8(ascii: "+") else { throw .missingPlus }
        try self.init(digits: String(text.dropFirst()))
    }

    /// Reads the digits alone, as WhatsApp names its users.
    package init(digits: String) throws(InvalidNumber) {
        guard (7...15).contains(digits.utf8.count), digits.utf8.first != UInt8(ascii: "0"), digits.utf8.allSatisfy(\.isASCIIDigit) else {
            throw .notE164
        }
        self.digits = digits
    }

    /// Reads E.164, or a national number with its leading 0 when the account has a default calling code.
    package init(_ text: String, defaultCallingCode: String?) throws(InvalidNumber) {
        if let code = defaultCallingCode, text.utf8.first == UInt8(ascii: "0") {
            try self.init(digits: code + text.dropFirst())
        } else {
            try self.init(text)
        }
    }

    /// With its plus, as the API writes it.
    package var text: String { "+" + digits }
    /// Redacted: numbers reach no log. Use `text` where the number itself is wanted.
    package var description: String { "E164(redacted)" }
}

package enum InvalidNumber: Error, Sendable, Equatable { case missingPlus, notE164 }

extension UInt8 {
    var isASCIIDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
}
