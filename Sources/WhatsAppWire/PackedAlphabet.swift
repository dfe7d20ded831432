/// The characters that are written two to a byte (protocol.md 3.4).
struct PackedAlphabet: Sendable {
    /// `0-9`, `-` as 10, `.` as 11.
    static let digits = PackedAlphabet("0123456789-.")
    /// `0-9`, `A-F`.
    static let hex = PackedAlphabet("0123456789ABCDEF")
    /// Stands in the last low half when the length is odd.
    static let padding: UInt8 = 15
    /// The longest string that the clients pack.
    static let maximumLength = 127

    private let characters: [UInt8]
    /// By character: its nibble, or 0xFF.
    private let nibbles: [UInt8]

    private init(_ text: String) {
        let characters = Array(text.utf8)
        var nibbles = [UInt8](repeating: 0xFF, count: 256)
        for (nibble, character) in characters.enumerated() { nibbles[Int(character)] = UInt8(nibble) }
        self.characters = characters
        self.nibbles = nibbles
    }

    func covers(_ utf8: UnsafeBufferPointer<UInt8>) -> Bool {
        for character in utf8 where nibbles[Int(character)] == 0xFF { return false }
        return true
    }

    func nibble(_ character: UInt8) -> UInt8? {
        let nibble = nibbles[Int(character)]
        return nibble == 0xFF ? nil : nibble
    }

    /// The character of a nibble, 0 to 15; nil when the alphabet has none.
    func character(_ nibble: UInt8) -> UInt8? {
        Int(nibble) < characters.count ? characters[Int(nibble)] : nil
    }
}
