/// Numbers as verbs and stanzas give them.
enum PhoneNumber {
    /// `+1 555…` or `1555…` without its plus; nothing is checked.
    static func digits(_ text: String) -> String { text.first == "+" ? String(text.dropFirst()) : text }

    /// The digits, if they can be an E.164 number: 7 to 15, the first not 0.
    static func parse(_ text: String) -> String? {
        let digits = digits(text)
        guard (7...15).contains(digits.utf8.count), digits.first != "0", digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return digits
    }
}
