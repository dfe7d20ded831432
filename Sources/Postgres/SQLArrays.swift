// An array's binary form (array_send): dimensions, a flag for NULLs, the element's type, per dimension its length and lower bound,
// then every element as a length (-1 is NULL) and its bytes.

extension SQLArrayElement where Self: SQLBindable & SQLReadable {
    package static func encodeArray(_ elements: [Self], into bytes: inout [UInt8]) {
        let start = bytes.count
        bytes.append(bigEndian: Int32(elements.isEmpty ? 0 : 1))
        bytes.append(bigEndian: Int32(0))
        bytes.append(bigEndian: sqlType)
        if elements.isEmpty { return }
        bytes.append(bigEndian: Int32(clamping: elements.count))
        bytes.append(bigEndian: Int32(1))
        var hasNulls = false
        for element in elements {
            let place = bytes.count
            bytes.append(bigEndian: Int32(-1))
            if element.encode(into: &bytes) { bytes.put(Int32(clamping: bytes.count - place - 4), at: place) } else { hasNulls = true }
        }
        if hasNulls { bytes.put(1, at: start + 4) }
    }

    /// Reads an array of one dimension; NULL elements need an Optional element type.
    package static func decodeArray(_ value: SQLValue) throws(SQLReadFailure) -> [Self] {
        guard let bytes = value.bytes else { throw .null }
        guard arrayTypes.contains(value.type) || value.type >= SQLType.firstOwn else { throw .type(value.type) }
        let dimensions = try bytes.integer(at: 0, Int32.self)
        let elementType = try bytes.integer(at: 8, UInt32.self)
        if dimensions == 0 { return [] }
        guard dimensions == 1 else { throw .malformed }
        let count = try bytes.integer(at: 12, Int32.self)
        // Every element takes at least the four bytes of its length, so a wrong count is known before anything is allocated.
        guard count >= 0, Int(count) <= (bytes.count - 16) / 4 else { throw .malformed }
        var elements: [Self] = []
        elements.reserveCapacity(Int(count))
        var offset = 20
        for _ in 0..<count {
            let length = Int(try bytes.integer(at: offset, Int32.self))
            offset += 4
            guard length >= 0 else {
                elements.append(try decode(SQLValue(type: elementType, bytes: nil)))
                continue
            }
            guard length <= bytes.count - offset else { throw .malformed }
            let element = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
            elements.append(try decode(SQLValue(type: elementType, bytes: element)))
            offset += length
        }
        return elements
    }
}

/// The array types whose elements some Swift type here can read; `decode` of the element checks which.
private let arrayTypes: Set<UInt32> = [
    SQLType.boolArray, SQLType.byteaArray, SQLType.int2Array, SQLType.int4Array, SQLType.int8Array, SQLType.textArray, SQLType.float8Array,
    SQLType.timestamptzArray, SQLType.uuidArray, 1003, 1014, 1015, 1021, 1028, 1182, 199, 3807,
]

extension UInt8: SQLArrayElement {
    package static var sqlArrayType: UInt32 { SQLType.bytea }

    package static func encodeArray(_ elements: [UInt8], into bytes: inout [UInt8]) { bytes += elements }

    package static func decodeArray(_ value: SQLValue) throws(SQLReadFailure) -> [UInt8] { [UInt8](try value.bytes(of: SQLType.bytea)) }
}

extension Array: SQLBindable where Element: SQLArrayElement {
    package static var sqlType: UInt32 { Element.sqlArrayType }

    package func encode(into bytes: inout [UInt8]) -> Bool {
        Element.encodeArray(self, into: &bytes)
        return true
    }
}

extension Array: SQLReadable where Element: SQLArrayElement {
    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> [Element] { try Element.decodeArray(value) }
}

/// Byte strings in an array: `bytea[]`.
extension Array: SQLArrayElement where Element == UInt8 {
    package static var sqlArrayType: UInt32 { SQLType.byteaArray }
}

extension Optional: SQLArrayElement where Wrapped: SQLArrayElement & SQLBindable & SQLReadable {
    package static var sqlArrayType: UInt32 { Wrapped.sqlArrayType }
}
