import Primitives

/// Reads our own stored records: fixed-width fields and counted parts, all big endian. Every failure is `invalidRecord`.
struct RecordReader {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func byte() throws(SignalError) -> UInt8 {
        guard offset < bytes.count else { throw SignalError(.invalidRecord) }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func number16() throws(SignalError) -> Int {
        Int(try byte()) << 8 | Int(try byte())
    }

    mutating func number32() throws(SignalError) -> UInt32 {
        guard bytes.count - offset >= 4 else { throw SignalError(.invalidRecord) }
        defer { offset += 4 }
        return bytes.number32(at: offset)
    }

    mutating func take(_ count: Int) throws(SignalError) -> [UInt8] {
        guard count >= 0, count <= bytes.count - offset else { throw SignalError(.invalidRecord) }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    mutating func publicKey() throws(SignalError) -> PublicKey {
        let raw = try take(32)
        do { return try PublicKey(raw) } catch { throw SignalError(.invalidRecord) }
    }

    /// A 32-bit length and as many bytes.
    mutating func counted() throws(SignalError) -> [UInt8] {
        guard let count = Int(exactly: try number32()) else { throw SignalError(.invalidRecord) }
        return try take(count)
    }

    /// Nothing may be left over.
    func finish() throws(SignalError) {
        guard offset == bytes.count else { throw SignalError(.invalidRecord) }
    }
}

extension [UInt8] {
    /// Four bytes, big endian. The caller has checked that they are there.
    func number32(at offset: Int) -> UInt32 {
        UInt32(self[offset]) << 24 | UInt32(self[offset + 1]) << 16 | UInt32(self[offset + 2]) << 8 | UInt32(self[offset + 3])
    }

    mutating func append(number32 value: UInt32) {
        append(UInt8(truncatingIfNeeded: value >> 24))
        append(UInt8(truncatingIfNeeded: value >> 16))
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    mutating func append(number16 value: Int) {
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    mutating func append(counted part: [UInt8]) {
        append(number32: UInt32(truncatingIfNeeded: part.count))
        self += part
    }
}
