/// A Swift value that can be bound to a statement. Conform by encoding as one of the types below: `UUID`, `Int64`, `String`, ….
package protocol SQLBindable: Sendable {
    /// The type's number in PostgreSQL's catalogue, see `SQLType`.
    static var sqlType: UInt32 { get }
    /// Appends PostgreSQL's binary form of the value; false, with nothing appended, means NULL.
    func encode(into bytes: inout [UInt8]) -> Bool
}

/// A Swift value that can be read from a column.
package protocol SQLReadable {
    /// Throws `SQLReadFailure` when the column is NULL, of another type, or holds what this type cannot.
    static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Self
}

/// A value that can stand in an array. `UInt8` is the exception: its "array" is a `bytea`.
package protocol SQLArrayElement: Sendable {
    static var sqlArrayType: UInt32 { get }
    static func encodeArray(_ elements: [Self], into bytes: inout [UInt8])
    static func decodeArray(_ value: SQLValue) throws(SQLReadFailure) -> [Self]
}

/// One column of one row, still in PostgreSQL's binary form. Lives as long as the closure that reads it.
package struct SQLValue {
    /// The type's number in PostgreSQL's catalogue.
    package let type: UInt32
    /// nil is NULL.
    package let bytes: UnsafeRawBufferPointer?

    /// The bytes of a value that must not be NULL and must have one of these types.
    package func bytes(of types: UInt32...) throws(SQLReadFailure) -> UnsafeRawBufferPointer {
        guard let bytes else { throw .null }
        guard types.contains(type) else { throw .type(type) }
        return bytes
    }
}

/// Why a column could not be read; `RowReader` adds which one it was. Never holds the value.
package enum SQLReadFailure: Error, Hashable, Sendable {
    case null, type(UInt32), malformed, outOfRange, noSuchColumn
}

/// The numbers of PostgreSQL's built-in types (pg_type.dat; they never change).
package enum SQLType {
    package static let bool: UInt32 = 16
    package static let bytea: UInt32 = 17
    package static let name: UInt32 = 19
    package static let int8: UInt32 = 20
    package static let int2: UInt32 = 21
    package static let int4: UInt32 = 23
    package static let text: UInt32 = 25
    package static let oid: UInt32 = 26
    package static let json: UInt32 = 114
    package static let float4: UInt32 = 700
    package static let float8: UInt32 = 701
    package static let unknown: UInt32 = 705
    package static let bpchar: UInt32 = 1042
    package static let varchar: UInt32 = 1043
    package static let date: UInt32 = 1082
    package static let timestamptz: UInt32 = 1184
    package static let uuid: UInt32 = 2950
    package static let jsonb: UInt32 = 3802
    package static let boolArray: UInt32 = 1000
    package static let byteaArray: UInt32 = 1001
    package static let int2Array: UInt32 = 1005
    package static let int4Array: UInt32 = 1007
    package static let textArray: UInt32 = 1009
    package static let int8Array: UInt32 = 1016
    package static let float8Array: UInt32 = 1022
    package static let timestamptzArray: UInt32 = 1185
    package static let uuidArray: UInt32 = 2951
    /// Types made by `CREATE TYPE` have numbers from here on.
    package static let firstOwn: UInt32 = 16384
}

extension [UInt8] {
    /// Appends an integer in network order.
    mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }

    /// Overwrites four bytes that were left free for a length.
    mutating func put(_ number: Int32, at index: Int) {
        Swift.withUnsafeBytes(of: number.bigEndian) { replaceSubrange(index..<index + 4, with: $0) }
    }
}

extension UnsafeRawBufferPointer {
    /// The whole buffer as one integer in network order.
    func integer<Number: FixedWidthInteger>(_: Number.Type = Number.self) throws(SQLReadFailure) -> Number {
        guard count == MemoryLayout<Number>.size else { throw .malformed }
        return Number(bigEndian: loadUnaligned(as: Number.self))
    }

    /// The integer at an offset, in network order; `malformed` beyond the end.
    func integer<Number: FixedWidthInteger>(at offset: Int, _: Number.Type = Number.self) throws(SQLReadFailure) -> Number {
        guard offset >= 0, offset <= count, count - offset >= MemoryLayout<Number>.size else { throw .malformed }
        return Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}
