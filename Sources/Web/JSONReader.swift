import Foundation

/// Parses a JSON text (RFC 8259) in one pass, with a bound on its depth, and notes names given twice in one object, of which most parsers silently keep one.
///
/// Own code where Foundation has a parser: that one cost a seventh of an accepted message's processor time (design.md §11), says nothing of duplicates
/// and has no bound. A test holds it against Foundation's on damaged texts.
struct JSONReader {
    struct Failure: Error {
        let isTooDeep: Bool
    }

    private let bytes: [UInt8]
    private let maximumDepth: Int
    private var position = 0
    /// Where the reader is: the containers that are open.
    private var path: [Step] = []
    private(set) var duplicates: [Problem.Field] = []

    private enum Step {
        case name(String)
        case index(Int)
    }

    /// - Parameters:
    ///   - bytes: valid UTF-8.
    ///   - maximumDepth: containers within each other.
    init(_ bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    /// The one value that the text is. Throws `Failure` for anything that is no JSON, and for what nests too deep.
    mutating func read() throws(Failure) -> JSONValue {
        // A byte order mark may be ignored (RFC 8259 §8.1).
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        let value = try value()
        skipSpace()
        guard position == bytes.count else { throw Failure(isTooDeep: false) }
        return value
    }

    // MARK: Values

    private mutating func value() throws(Failure) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""):
            position += 1
            return try string().map(JSONValue.string) ?? .unreadableString
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func object() throws(Failure) -> JSONValue {
        try enter(.name(""))
        var members: [JSONValue.Member] = []
        /// Looked up one by one as long as they are few.
        var names: Set<String> = []
        skipSpace()
        if take("}") { return leave(.object([])) }
        repeat {
            skipSpace()
            try expect("\"")
            let name = try string() ?? "\u{FFFD}"
            path[path.count - 1] = .name(name)
            if members.count < 16 {
                if members.contains(where: { $0.name == name }) { noteDuplicate() }
            } else {
                if members.count == 16 { names = Set(members.map(\.name)) }
                if !names.insert(name).inserted { noteDuplicate() }
            }
            skipSpace()
            try expect(":")
            members.append(JSONValue.Member(name: name, value: try value()))
            skipSpace()
        } while take(",")
        try expect("}")
        return leave(.object(members))
    }

    private mutating func array() throws(Failure) -> JSONValue {
        try enter(.index(0))
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return leave(.array([])) }
        repeat {
            path[path.count - 1] = .index(elements.count)
            elements.append(try value())
            skipSpace()
        } while take(",")
        try expect("]")
        return leave(.array(elements))
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(Failure) -> JSONValue {
        let isThere = word.withUTF8Buffer { bytes[position...].starts(with: $0) }
        guard isThere else { throw Failure(isTooDeep: false) }
        position += word.utf8CodeUnitCount
        return value
    }

    private mutating func number() throws(Failure) -> JSONValue {
        let start = position
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            try digits()
        }
        return .number(bytes[start..<position])
    }

    private mutating func digits() throws(Failure) {
        let start = position
        while let digit = next, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") { position += 1 }
        guard position > start else { throw Failure(isTooDeep: false) }
    }

    // MARK: Strings

    /// The rest of a string whose quote was read; nil when its escapes are no Unicode text.
    private mutating func string() throws(Failure) -> String? {
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                defer { position += 1 }
                return String(decoding: bytes[start..<position], as: UTF8.self)
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { break }
            position += 1
        }
        throw Failure(isTooDeep: false)
    }

    private mutating func escapedString(from start: Int) throws(Failure) -> String? {
        var text = Array(bytes[start..<position])
        var isReadable = true
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return isReadable ? String(decoding: text, as: UTF8.self) : nil
            case UInt8(ascii: "\\"):
                if let scalar = try escape() { text += Array(String(scalar).utf8) } else { isReadable = false }
            case 0..<0x20: throw Failure(isTooDeep: false)
            default: text.append(byte)
            }
        }
        throw Failure(isTooDeep: false)
    }

    /// The scalar behind a backslash; nil for half a surrogate pair.
    private mutating func escape() throws(Failure) -> Unicode.Scalar? {
        guard let sign = next else { throw Failure(isTooDeep: false) }
        position += 1
        switch sign {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(sign)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw Failure(isTooDeep: false)
        }
        let high = try codeUnit()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard high < 0xDC00, bytes[position...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) else { return nil }
        position += 2
        let low = try codeUnit()
        guard low >= 0xDC00, low <= 0xDFFF else { return nil }
        return Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
    }

    private mutating func codeUnit() throws(Failure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = next.flatMap({ Character(Unicode.Scalar($0)).hexDigitValue }) else { throw Failure(isTooDeep: false) }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    // MARK: Steps

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ sign: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: sign) else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ sign: Unicode.Scalar) throws(Failure) {
        guard take(sign) else { throw Failure(isTooDeep: false) }
    }

    private mutating func enter(_ step: Step) throws(Failure) {
        guard path.count < maximumDepth else { throw Failure(isTooDeep: true) }
        path.append(step)
        position += 1
    }

    private mutating func leave(_ value: JSONValue) -> JSONValue {
        path.removeLast()
        return value
    }

    private mutating func noteDuplicate() {
        let pointer = path.map { step in
            switch step {
            case .name(let name): "/" + StrictFields.escaped(name)
            case .index(let index): "/\(index)"
            }
        }
        duplicates.append(Problem.Field(pointer: pointer.joined(), code: "duplicate", detail: "is given twice"))
    }
}
