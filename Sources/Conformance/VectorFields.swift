/// A protobuf writer that knows no schema: it follows the `fields` notation of `message-proto.json`.
enum VectorFields {
    /// The serialization of a list of `{n, type, value}` or `{n, type, values}`, in the order given.
    static func serialize(_ fields: [JSONValue]) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for field in fields {
            let number = UInt64(try field.uint32("n"))
            let type = try field.string("type")
            guard case .array(let values)? = field["values"] else {
                bytes += try entry(number, type, try field.member("value"))
                continue
            }
            if field.flag("packed") {
                let payload = try values.flatMap { try scalar(type, $0).bytes }
                bytes += varint(number << 3 | 2) + varint(UInt64(payload.count)) + payload
            } else {
                for value in values { bytes += try entry(number, type, value) }
            }
        }
        return bytes
    }

    private static func entry(_ number: UInt64, _ type: String, _ value: JSONValue) throws -> [UInt8] {
        let (wireType, bytes) = try scalar(type, value)
        let length = wireType == 2 ? varint(UInt64(bytes.count)) : []
        return varint(number << 3 | wireType) + length + bytes
    }

    /// A value without tag and length.
    private static func scalar(_ type: String, _ value: JSONValue) throws -> (wireType: UInt64, bytes: [UInt8]) {
        switch (type, value) {
        case ("message", .array(let fields)): return (2, try serialize(fields))
        case ("string", .string(let text)): return (2, Array(text.utf8))
        case ("bytes", .string):
            guard let bytes = value.asBytes else { throw VectorMismatch("field is no hex") }
            return (2, bytes)
        case ("bool", .bool(let flag)): return (0, [flag ? 1 : 0])
        case ("double", _): return (1, littleEndian(try double(value).bitPattern))
        case ("float", _): return (5, littleEndian(Float(try double(value)).bitPattern))
        case ("fixed32", _), ("sfixed32", _): return (5, littleEndian(UInt32(truncatingIfNeeded: try integer(value))))
        case ("fixed64", _), ("sfixed64", _): return (1, littleEndian(try integer(value)))
        case ("uint32", _), ("uint64", _), ("int32", _), ("int64", _), ("enum", _): return (0, varint(try integer(value)))
        default: throw VectorMismatch("field of unknown type \(type)")
        }
    }

    private static func integer(_ value: JSONValue) throws -> UInt64 {
        switch value {
        case .integer(let number): return UInt64(bitPattern: number)
        case .number(let number):
            guard let exact = UInt64(exactly: number) else { throw VectorMismatch("field is no integer") }
            return exact
        default: throw VectorMismatch("field is no integer")
        }
    }

    private static func double(_ value: JSONValue) throws -> Double {
        switch value {
        case .integer(let number): return Double(number)
        case .number(let number): return number
        default: throw VectorMismatch("field is no number")
        }
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest > 127 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func littleEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { [UInt8]($0) }
    }
}
