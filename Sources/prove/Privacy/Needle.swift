import Primitives

/// Something that a run must not leave anywhere in readable form.
struct Needle: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case control, text, number, lid = "LID", reference, metadata, label
        case idempotencyKey = "idempotency key"
        case apiKey = "API key"
        case request = "canary of a refused request"
        case pairing = "pairing secret"
        case keyFile = "key file"
        case deviceKey = "device private key"
        case signalState = "Signal session"
    }

    let kind: Kind
    /// What the report calls it; names no value.
    let name: String
    /// What is searched for: the part that no other bytes would have by chance.
    let bytes: [UInt8]
    /// The values whose plain digests would give it away: the whole text, a number with and without its plus.
    let digested: [[UInt8]]

    init(_ kind: Kind, _ name: String, bytes: [UInt8], digested: [[UInt8]]? = nil) {
        self.kind = kind
        self.name = name
        self.bytes = bytes
        self.digested = digested ?? [bytes]
    }

    /// `core` is the part of `whole` that is unique to it.
    init(_ kind: Kind, _ name: String, text core: String, in whole: String? = nil) {
        self.init(kind, name, bytes: Array(core.utf8), digested: [Array(core.utf8)] + (whole.map { [Array($0.utf8)] } ?? []))
    }

    /// Digits. A hit with a plus in front is a hit of the digits too, in every encoding.
    init(_ kind: Kind, _ name: String, digits: String) {
        self.init(kind, name, bytes: Array(digits.utf8), digested: [Array(digits.utf8), Array("+\(digits)".utf8)])
    }

    var isDigits: Bool { bytes.allSatisfy { (0x30...0x39).contains($0) } }
}

/// The fourteen forms in which a needle is searched. Bytes that are no text are taken as Latin-1 where a form is about characters.
enum NeedleEncoding: String, CaseIterable, Sendable {
    case plain = "UTF-8 or raw bytes"
    case utf16LittleEndian = "UTF-16LE"
    case utf16BigEndian = "UTF-16BE"
    /// PostgreSQL's text form of bytea, `\x…`, among them.
    case hexLower = "hex, lower case"
    case hexUpper = "hex, upper case"
    /// All three alignments within a longer value.
    case base64 = "base64"
    case base64URL = "base64url"
    case percent = "percent-encoded"
    case jsonEscaped = "JSON \\uXXXX"
    case quotedPrintable = "quoted-printable"
    /// What Swift and JSON print for an array of bytes: `54, 50` and `54,50`.
    case decimalList = "list of decimal bytes"
    case reversed = "reversed"
    /// Digits only: two a byte, high or low nibble first, and as a 64-bit integer of either byte order.
    case packedDigits = "packed digits"
    /// SHA-256 and MD5 without a key, raw and as hex: whoever can list all numbers can turn them back.
    case digest = "unkeyed digest"

    /// Every byte sequence that would betray `needle` in this form.
    func patterns(of needle: Needle) -> [[UInt8]] {
        let bytes = needle.bytes
        switch self {
        case .plain: return [bytes]
        case .utf16LittleEndian: return [bytes.flatMap { [$0, 0] }]
        case .utf16BigEndian: return [bytes.flatMap { [0, $0] }]
        case .hexLower: return [Array(Hex.encode(bytes).utf8)]
        case .hexUpper: return [Array(Hex.encode(bytes).uppercased().utf8)]
        case .base64: return Self.alignments(bytes, "+/")
        case .base64URL: return Self.alignments(bytes, "-_")
        case .percent: return Self.spelled(bytes, prefix: "%")
        case .jsonEscaped: return Self.spelled(bytes, prefix: "\\u00")
        case .quotedPrintable: return Self.spelled(bytes, prefix: "=")
        case .decimalList: return [", ", ","].map { separator in Array(bytes.map(String.init).joined(separator: separator).utf8) }
        case .reversed: return [bytes.reversed()]
        case .packedDigits: return needle.isDigits ? Self.packed(bytes) : []
        case .digest:
            return needle.digested.flatMap { value in
                [Digest.sha256(value), Digest.md5(value)].flatMap { [$0, Array(Hex.encode($0).utf8)] }
            }
        }
    }

    private static func spelled(_ bytes: [UInt8], prefix: String) -> [[UInt8]] {
        let lower = bytes.map { prefix + Hex.encode([$0]) }.joined()
        let upper = bytes.map { prefix + Hex.encode([$0]).uppercased() }.joined()
        return [Array(lower.utf8), Array(upper.utf8)]
    }

    /// RFC 4648 §4: the characters that depend on nothing but `bytes`, whichever of a group's three bytes they begin at.
    private static func alignments(_ bytes: [UInt8], _ last: String) -> [[UInt8]] {
        let alphabet = Array(("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + last).utf8)
        return (0..<3).map { offset in
            let padded = [UInt8](repeating: 0, count: offset) + bytes
            let first = (offset * 8 + 5) / 6
            return (first..<padded.count * 8 / 6).map { index in
                let bit = index * 6
                let high = UInt16(padded[bit / 8]) << 8
                let pair = bit / 8 + 1 < padded.count ? high | UInt16(padded[bit / 8 + 1]) : high
                return alphabet[Int(pair >> UInt16(10 - bit % 8)) & 63]
            }
        }
    }

    private static func packed(_ digits: [UInt8]) -> [[UInt8]] {
        let values = digits.map { $0 & 15 }
        let pairs = stride(from: 0, to: values.count - 1, by: 2).map { (values[$0], values[$0 + 1]) }
        var result = [pairs.map { $0 << 4 | $1 }, pairs.map { $1 << 4 | $0 }]
        if let number = UInt64(String(decoding: digits, as: UTF8.self)) {
            result += [withUnsafeBytes(of: number.littleEndian) { Array($0) }, withUnsafeBytes(of: number.bigEndian) { Array($0) }]
        }
        return result
    }
}
