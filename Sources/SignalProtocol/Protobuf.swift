/// Reads the fields of one small protobuf message. Bounded by its bytes, allocates nothing, refuses groups, skips what it does not know by being asked on.
struct ProtobufReader {
    /// One field: its number and where its value is.
    struct Field {
        enum Value {
            case varint(UInt64)
            case bytes(Range<Int>)
            /// A fixed-width number; none of our messages has one.
            case fixed
        }

        let number: UInt64
        let value: Value

        /// A varint that fits 32 bits; anything else is malformed.
        func number32() throws(SignalError) -> UInt32 {
            guard case .varint(let wide) = value, let narrow = UInt32(exactly: wide) else { throw SignalError(.malformedMessage) }
            return narrow
        }

        func range() throws(SignalError) -> Range<Int> {
            guard case .bytes(let range) = value else { throw SignalError(.malformedMessage) }
            return range
        }
    }

    private let bytes: [UInt8]
    private var offset: Int
    private let end: Int

    /// Reads `bytes[range]`. A range outside the bytes is malformed.
    init(_ bytes: [UInt8], _ range: Range<Int>) throws(SignalError) {
        guard range.lowerBound >= 0, range.upperBound <= bytes.count else { throw SignalError(.malformedMessage) }
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next field, nil at the end.
    mutating func next() throws(SignalError) -> Field? {
        guard offset < end else { return nil }
        let tag = try varint()
        guard tag >> 3 != 0, tag <= UInt64(UInt32.max) else { throw SignalError(.malformedMessage) }
        switch tag & 7 {
        case 0: return Field(number: tag >> 3, value: .varint(try varint()))
        case 1: return Field(number: tag >> 3, value: try fixed(8))
        case 2:
            guard let length = Int(exactly: try varint()) else { throw SignalError(.malformedMessage) }
            return Field(number: tag >> 3, value: .bytes(try advance(length)))
        case 5: return Field(number: tag >> 3, value: try fixed(4))
        default: throw SignalError(.malformedMessage)
        }
    }

    private mutating func fixed(_ length: Int) throws(SignalError) -> Field.Value {
        _ = try advance(length)
        return .fixed
    }

    private mutating func advance(_ length: Int) throws(SignalError) -> Range<Int> {
        guard length >= 0, length <= end - offset else { throw SignalError(.malformedMessage) }
        defer { offset += length }
        return offset..<offset + length
    }

    private mutating func varint() throws(SignalError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard offset < end else { throw SignalError(.malformedMessage) }
            let byte = bytes[offset]
            offset += 1
            if shift == 63, byte > 1 { throw SignalError(.malformedMessage) }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw SignalError(.malformedMessage)
    }
}

/// Appends fields in the order they are given, zeros included: receivers recompute the MAC over their own encoding of all fields (protocol.md 9.7).
struct ProtobufWriter {
    private(set) var bytes: [UInt8]

    /// Starts behind `prefix`, with room for `capacity` bytes altogether.
    init(prefix: UInt8, capacity: Int) {
        bytes = []
        bytes.reserveCapacity(capacity)
        bytes.append(prefix)
    }

    /// A varint field; `field` is at most 15.
    mutating func append(_ field: UInt8, _ value: UInt32) {
        bytes.append(field << 3)
        varint(UInt64(value))
    }

    /// A bytes field; `field` is at most 15.
    mutating func append(_ field: UInt8, _ value: [UInt8]) {
        bytes.append(field << 3 | 2)
        varint(UInt64(value.count))
        bytes += value
    }

    mutating func append(raw suffix: some Collection<UInt8>) {
        bytes += suffix
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
