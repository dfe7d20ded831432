import Foundation

/// Writes an `Encodable` as JSON text in one pass: members in the order in which the value encodes them, times as RFC 3339.
///
/// Own code where Foundation has an encoder: that one builds a tree of dictionaries first and took an eighth of an accepted message's processor
/// time (design.md §11). A test holds it against Foundation's.
enum JSONText {
    /// - Throws: what the value's own `encode(to:)` throws; `EncodingError` for numbers that are not finite, and for values that ask for containers
    ///   within a container by hand, which no answer of ours does.
    static func bytes(_ value: some Encodable) throws -> [UInt8] {
        let text = JSONBuffer()
        try text.write(value, at: [])
        guard !text.isUnsupported else {
            throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "encodes into nested containers by hand"))
        }
        return text.bytes
    }
}

/// The text so far.
private final class JSONBuffer {
    var bytes: [UInt8] = []
    var isUnsupported = false

    init() { bytes.reserveCapacity(1_024) }

    func write<Value: Encodable>(_ value: Value, at path: [any CodingKey]) throws {
        switch value {
        case let text as String: write(text)
        case let number as Int: bytes += "\(number)".utf8
        case let bool as Bool: bytes += (bool ? "true" : "false").utf8
        case let time as Date: write(Timestamp.text(time))
        case let texts as [String: String]: write(texts)
        case let number as Double:
            guard number.isFinite else {
                throw EncodingError.invalidValue(number, .init(codingPath: path, debugDescription: "not a finite number"))
            }
            bytes += (Int(exactly: number).map(String.init) ?? "\(number)").utf8
        default:
            let place = JSONPlace(self, at: path)
            try value.encode(to: place)
            place.close()
        }
    }

    func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { characters in
            var start = 0
            for (index, byte) in characters.enumerated() where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                bytes += characters[start..<index]
                start = index + 1
                bytes += Self.escape(byte)
            }
            bytes += characters[start...]
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// By name, so that the same value is the same text.
    private func write(_ texts: [String: String]) {
        bytes.append(UInt8(ascii: "{"))
        var isFirst = true
        for (name, text) in texts.sorted(by: { $0.key < $1.key }) {
            write(member: name, isFirst: isFirst)
            isFirst = false
            write(text)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    func write(member name: String, isFirst: Bool) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        write(name)
        bytes.append(UInt8(ascii: ":"))
    }

    private static func escape(_ byte: UInt8) -> [UInt8] {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): [UInt8(ascii: "\\"), byte]
        case 0x08: Array(#"\b"#.utf8)
        case 0x09: Array(#"\t"#.utf8)
        case 0x0A: Array(#"\n"#.utf8)
        case 0x0C: Array(#"\f"#.utf8)
        case 0x0D: Array(#"\r"#.utf8)
        default: Array((byte < 0x10 ? #"\u000"# : #"\u00"#).utf8) + Array(String(byte, radix: 16).utf8)
        }
    }
}

/// Where one value stands in the text: what it turns out to be, and how many members or elements it has so far.
private final class JSONPlace: Encoder {
    private enum Kind { case open, object, array, single }

    let buffer: JSONBuffer
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }
    private var kind = Kind.open
    private(set) var count = 0

    init(_ buffer: JSONBuffer, at path: [any CodingKey]) {
        self.buffer = buffer
        codingPath = path
    }

    private func become(_ kind: Kind, _ sign: Unicode.Scalar?) {
        guard self.kind == .open else {
            if self.kind != kind { buffer.isUnsupported = true }
            return
        }
        self.kind = kind
        if let sign { buffer.bytes.append(UInt8(ascii: sign)) }
    }

    /// The value has encoded itself.
    func close() {
        switch kind {
        case .open: buffer.bytes += "{}".utf8
        case .object: buffer.bytes.append(UInt8(ascii: "}"))
        case .array: buffer.bytes.append(UInt8(ascii: "]"))
        case .single: break
        }
    }

    func member(_ key: some CodingKey) {
        buffer.write(member: key.stringValue, isFirst: count == 0)
        count += 1
    }

    func element() {
        if count > 0 { buffer.bytes.append(UInt8(ascii: ",")) }
        count += 1
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        become(.object, "{")
        return KeyedEncodingContainer(JSONMembers<Key>(place: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        become(.array, "[")
        return JSONElements(place: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        become(.single, nil)
        return JSONSingle(place: self)
    }

    /// For what asks for a container within a container: goes nowhere, and the text is refused.
    func nowhere() -> JSONPlace {
        buffer.isUnsupported = true
        return JSONPlace(JSONBuffer(), at: codingPath)
    }
}

private struct JSONMembers<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let place: JSONPlace
    var codingPath: [any CodingKey] { place.codingPath }

    func encodeNil(forKey key: Key) throws {
        place.member(key)
        place.buffer.bytes += "null".utf8
    }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        place.member(key)
        try place.buffer.write(value, at: codingPath + [key])
    }

    // The types that most members have, without a look at what they are.
    func encode(_ value: String, forKey key: Key) throws {
        place.member(key)
        place.buffer.write(value)
    }

    func encode(_ value: Bool, forKey key: Key) throws {
        place.member(key)
        place.buffer.bytes += (value ? "true" : "false").utf8
    }

    func encode(_ value: Int, forKey key: Key) throws {
        place.member(key)
        place.buffer.bytes += "\(value)".utf8
    }

    func nestedContainer<NestedKey: CodingKey>(keyedBy keyType: NestedKey.Type, forKey key: Key) -> KeyedEncodingContainer<NestedKey> {
        place.nowhere().container(keyedBy: keyType)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { place.nowhere().unkeyedContainer() }
    func superEncoder() -> any Encoder { place.nowhere() }
    func superEncoder(forKey key: Key) -> any Encoder { place.nowhere() }
}

private struct JSONElements: UnkeyedEncodingContainer {
    let place: JSONPlace
    var codingPath: [any CodingKey] { place.codingPath }
    var count: Int { place.count }

    func encodeNil() throws {
        place.element()
        place.buffer.bytes += "null".utf8
    }

    func encode<Value: Encodable>(_ value: Value) throws {
        place.element()
        try place.buffer.write(value, at: codingPath)
    }

    func nestedContainer<NestedKey: CodingKey>(keyedBy keyType: NestedKey.Type) -> KeyedEncodingContainer<NestedKey> {
        place.nowhere().container(keyedBy: keyType)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { place.nowhere().unkeyedContainer() }
    func superEncoder() -> any Encoder { place.nowhere() }
}

private struct JSONSingle: SingleValueEncodingContainer {
    let place: JSONPlace
    var codingPath: [any CodingKey] { place.codingPath }

    func encodeNil() throws { place.buffer.bytes += "null".utf8 }
    func encode<Value: Encodable>(_ value: Value) throws { try place.buffer.write(value, at: codingPath) }
}
