package import Foundation
package import Primitives

/// UUIDs that sort by the time they were made (RFC 9562 §5.7), so that tables can be partitioned by them.
package enum UUIDv7 {
    /// 48 bits of milliseconds since 1970, then 74 random bits.
    package static func make(at now: Date, random: any RandomSource) -> UUID {
        var bytes = random.bytes(16)
        var milliseconds = UInt64(max(0, now.timeIntervalSince1970 * 1000))
        if Sabotage.collidingIDs.isOn { (bytes, milliseconds) = ([UInt8](repeating: 0, count: 16), milliseconds & ~63) }
        for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: milliseconds >> UInt64(40 - 8 * index)) }
        bytes[6] = 0x70 | bytes[6] & 0x0F
        bytes[8] = 0x80 | bytes[8] & 0x3F
        return UUID(bytes: bytes)
    }

    /// When an id was made, to the millisecond.
    package static func time(of id: UUID) -> Date {
        Date(timeIntervalSince1970: Double(id.bytes.prefix(6).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }) / 1000)
    }

    /// The lowest id of that millisecond: a bound for searches by time.
    package static func lowest(at time: Date) -> UUID {
        var bytes = [UInt8](repeating: 0, count: 16)
        let milliseconds = UInt64(max(0, time.timeIntervalSince1970 * 1000))
        for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: milliseconds >> UInt64(40 - 8 * index)) }
        return UUID(bytes: bytes)
    }
}

extension TypedID {
    package static func make(at now: Date, random: any RandomSource) -> Self { Self(UUIDv7.make(at: now, random: random)) }
}
