package import Foundation

// The binary forms are those of PostgreSQL's *send and *recv functions.

extension Bool: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.bool }
    package static var sqlArrayType: UInt32 { SQLType.boolArray }

    package func encode(into bytes: inout [UInt8]) -> Bool {
        bytes.append(self ? 1 : 0)
        return true
    }

    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Bool {
        try value.bytes(of: SQLType.bool).integer(UInt8.self) != 0
    }
}

extension Int16: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.int2 }
    package static var sqlArrayType: UInt32 { SQLType.int2Array }
}

extension Int32: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.int4 }
    package static var sqlArrayType: UInt32 { SQLType.int4Array }
}

extension Int64: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.int8 }
    package static var sqlArrayType: UInt32 { SQLType.int8Array }
}

extension Int: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.int8 }
    package static var sqlArrayType: UInt32 { SQLType.int8Array }
}

extension FixedWidthInteger {
    package func encode(into bytes: inout [UInt8]) -> Bool {
        bytes.append(bigEndian: self)
        return true
    }

    /// Reads any of PostgreSQL's integers; `outOfRange` when the number does not fit.
    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Self {
        let bytes = try value.bytes(of: SQLType.int2, SQLType.int4, SQLType.int8, SQLType.oid)
        let number: Self? =
            switch value.type {
            case SQLType.int2: try Self(exactly: bytes.integer(Int16.self))
            case SQLType.int4: try Self(exactly: bytes.integer(Int32.self))
            case SQLType.oid: try Self(exactly: bytes.integer(UInt32.self))
            default: try Self(exactly: bytes.integer(Int64.self))
            }
        guard let number else { throw .outOfRange }
        return number
    }
}

extension Double: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.float8 }
    package static var sqlArrayType: UInt32 { SQLType.float8Array }

    package func encode(into bytes: inout [UInt8]) -> Bool {
        bytes.append(bigEndian: bitPattern)
        return true
    }

    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Double {
        let bytes = try value.bytes(of: SQLType.float8, SQLType.float4)
        if value.type == SQLType.float4 { return Double(Float(bitPattern: try bytes.integer(UInt32.self))) }
        return Double(bitPattern: try bytes.integer(UInt64.self))
    }
}

extension String: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.text }
    package static var sqlArrayType: UInt32 { SQLType.textArray }

    package func encode(into bytes: inout [UInt8]) -> Bool {
        bytes.append(contentsOf: utf8)
        return true
    }

    /// Reads text in all its types, json and jsonb, and enums and other types made by `CREATE TYPE` whose binary form is their text.
    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> String {
        guard var bytes = value.bytes else { throw .null }
        switch value.type {
        case SQLType.text, SQLType.varchar, SQLType.bpchar, SQLType.name, SQLType.unknown, SQLType.json: break
        case SQLType.jsonb:
            guard bytes.first == 1 else { throw .malformed }
            bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        case SQLType.firstOwn...: break
        default: throw .type(value.type)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed }
        return text
    }
}

extension UUID: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.uuid }
    package static var sqlArrayType: UInt32 { SQLType.uuidArray }

    package func encode(into bytes: inout [UInt8]) -> Bool {
        withUnsafeBytes(of: uuid) { bytes.append(contentsOf: $0) }
        return true
    }

    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> UUID {
        let bytes = try value.bytes(of: SQLType.uuid)
        guard bytes.count == 16 else { throw .malformed }
        return UUID(uuid: bytes.loadUnaligned(as: uuid_t.self))
    }
}

/// A `timestamptz`, to the microsecond. `infinity` is `distantFuture` and back, `-infinity` `distantPast`; what PostgreSQL cannot hold
/// is bound as the nearer infinity. A `date` reads as its midnight in UTC.
extension Date: SQLBindable, SQLReadable, SQLArrayElement {
    package static var sqlType: UInt32 { SQLType.timestamptz }
    package static var sqlArrayType: UInt32 { SQLType.timestamptzArray }

    /// 2000-01-01 00:00 UTC, PostgreSQL's zero, in seconds since 2001-01-01.
    private static let epoch: Double = -31_622_400
    /// The first instant PostgreSQL cannot hold, and the first it can, in microseconds since 2000 (datatype/timestamp.h).
    private static let end: Int64 = 9_223_371_331_200_000_000
    private static let start: Int64 = -211_813_488_000_000_000

    package func encode(into bytes: inout [UInt8]) -> Bool {
        let seconds = timeIntervalSinceReferenceDate - Self.epoch
        let microseconds = (seconds * 1_000_000).rounded()
        if self == .distantFuture || !(microseconds < Double(Self.end)) {
            bytes.append(bigEndian: Int64.max)
        } else if self == .distantPast || microseconds < Double(Self.start) {
            bytes.append(bigEndian: Int64.min)
        } else {
            bytes.append(bigEndian: Int64(microseconds))
        }
        return true
    }

    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Date {
        let bytes = try value.bytes(of: SQLType.timestamptz, SQLType.date)
        if value.type == SQLType.date {
            let days = try bytes.integer(Int32.self)
            if days == .max { return .distantFuture }
            if days == .min { return .distantPast }
            return Date(timeIntervalSinceReferenceDate: Double(days) * 86_400 + epoch)
        }
        let microseconds = try bytes.integer(Int64.self)
        if microseconds == .max { return .distantFuture }
        if microseconds == .min { return .distantPast }
        let (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return Date(timeIntervalSinceReferenceDate: Double(seconds) + epoch + Double(rest) / 1_000_000)
    }
}

extension Optional: SQLBindable where Wrapped: SQLBindable {
    package static var sqlType: UInt32 { Wrapped.sqlType }
    package func encode(into bytes: inout [UInt8]) -> Bool { self?.encode(into: &bytes) ?? false }
}

extension Optional: SQLReadable where Wrapped: SQLReadable {
    package static func decode(_ value: SQLValue) throws(SQLReadFailure) -> Wrapped? {
        value.bytes == nil ? nil : try Wrapped.decode(value)
    }
}
