import Foundation

/// Hands a `JSONValue` to the `Decodable` that a request type is, mostly through `StrictFields`.
struct JSONValueDecoder: Decoder {
    let value: JSONValue
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    init(_ value: JSONValue, at path: [any CodingKey] = []) {
        self.value = value
        codingPath = path
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let members) = value else { throw mismatch([String: String].self) }
        return KeyedDecodingContainer(Members<Key>(members: members, codingPath: codingPath))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let elements) = value else { throw mismatch([String].self) }
        return Elements(elements: elements, codingPath: codingPath)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    /// `value` as one of the types that need no container, else by the type's own initialiser.
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let found: Any? =
            switch type {
            case is String.Type: value.text
            case is Bool.Type: if case .bool(let bool) = value { bool } else { nil }
            case is Int.Type: value.integer
            case is Double.Type: value.double
            case is [String: String].Type: try strings()
            default: try Value(from: self)
            }
        if let found = found as? Value { return found }
        throw mismatch(type)
    }

    private func strings() throws -> [String: String]? {
        guard case .object(let members) = value else { return nil }
        var strings = Dictionary<String, String>(minimumCapacity: members.count)
        for member in members {
            let decoder = JSONValueDecoder(member.value, at: codingPath + [StrictFields.AnyKey(stringValue: member.name)])
            strings[member.name] = try decoder.decode(String.self)
        }
        return strings
    }

    /// Another kind of value, or one of the right kind that cannot be read: a number that does not fit, escapes that are no text.
    fileprivate func mismatch(_ type: Any.Type) -> DecodingError {
        let context = DecodingError.Context(codingPath: codingPath, debugDescription: "")
        let isRightKind =
            switch value {
            case .number: type == Int.self || type == Double.self
            case .unreadableString: type == String.self
            default: false
            }
        return isRightKind ? .dataCorrupted(context) : .typeMismatch(type, context)
    }

    private struct Members<Key: CodingKey>: KeyedDecodingContainerProtocol {
        let members: [JSONValue.Member]
        let codingPath: [any CodingKey]
        var allKeys: [Key] { members.compactMap { Key(stringValue: $0.name) } }

        func contains(_ key: Key) -> Bool { members.contains { $0.name == key.stringValue } }
        func decodeNil(forKey key: Key) throws -> Bool { try member(key).value.isNull }
        func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try member(key).decode(type) }
        func nestedContainer<NestedKey: CodingKey>(keyedBy type: NestedKey.Type, forKey key: Key) throws -> KeyedDecodingContainer<NestedKey> {
            try member(key).container(keyedBy: type)
        }
        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try member(key).unkeyedContainer() }
        func superDecoder() throws -> any Decoder { JSONValueDecoder(.object(members), at: codingPath) }
        func superDecoder(forKey key: Key) throws -> any Decoder { try member(key) }

        private func member(_ key: Key) throws -> JSONValueDecoder {
            guard let member = members.first(where: { $0.name == key.stringValue }) else {
                throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: ""))
            }
            return JSONValueDecoder(member.value, at: codingPath + [key])
        }
    }

    private struct Elements: UnkeyedDecodingContainer {
        let elements: [JSONValue]
        let codingPath: [any CodingKey]
        var currentIndex = 0
        var count: Int? { elements.count }
        var isAtEnd: Bool { currentIndex >= elements.count }

        init(elements: [JSONValue], codingPath: [any CodingKey]) {
            self.elements = elements
            self.codingPath = codingPath
        }

        mutating func decodeNil() throws -> Bool {
            guard try current().value.isNull else { return false }
            currentIndex += 1
            return true
        }

        mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
            let value = try current().decode(type)
            currentIndex += 1
            return value
        }

        func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> { try current().container(keyedBy: type) }
        func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try current().unkeyedContainer() }
        func superDecoder() throws -> any Decoder { try current() }

        private func current() throws -> JSONValueDecoder {
            guard !isAtEnd else {
                throw DecodingError.valueNotFound(Any.self, .init(codingPath: codingPath, debugDescription: "beyond the list's end"))
            }
            return JSONValueDecoder(elements[currentIndex], at: codingPath + [Index(currentIndex)])
        }
    }

    private struct Index: CodingKey {
        let index: Int
        var intValue: Int? { index }
        var stringValue: String { "\(index)" }

        init(_ index: Int) { self.index = index }
        init?(intValue: Int) { index = intValue }
        init?(stringValue: String) { return nil }
    }
}

extension JSONValueDecoder: SingleValueDecodingContainer {
    func decodeNil() -> Bool { value.isNull }
}
