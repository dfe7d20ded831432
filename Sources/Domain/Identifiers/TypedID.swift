package import Foundation

/// What stands before the underscore of an id: `msg`, `snd` …
package protocol Identified {
    static var idPrefix: String { get }
}

/// A UUIDv7 that knows what it names. Its text is the prefix, `_`, and 26 lower-case Crockford base32 digits.
package struct TypedID<Subject: Identified>: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let uuid: UUID

    package init(_ uuid: UUID) { self.uuid = uuid }

    /// Reads the text form. Anything else (another prefix, a wrong digit, a wrong length) throws.
    package init(text: String) throws(InvalidID) {
        let prefix = Subject.idPrefix + "_"
        guard text.hasPrefix(prefix), let bytes = Crockford.decode16(String(text.dropFirst(prefix.count))) else {
            throw InvalidID(expectedPrefix: Subject.idPrefix)
        }
        self.uuid = UUID(bytes: bytes)
    }

    package init(_ text: String) throws(InvalidID) { try self.init(text: text) }

    package var description: String { Subject.idPrefix + "_" + Crockford.encode(uuid.bytes) }
    /// The 16 bytes, as sealing contexts name a row.
    package var bytes: [UInt8] { uuid.bytes }

    package static func < (left: Self, right: Self) -> Bool { left.uuid.bytes.lexicographicallyPrecedes(right.uuid.bytes) }
}

/// A text that is no id of the expected kind. It names the kind only: the text came from outside.
package struct InvalidID: Error, Sendable, Equatable {
    package let expectedPrefix: String
}

extension UUID {
    /// The 16 bytes in network order.
    package var bytes: [UInt8] { withUnsafeBytes(of: uuid) { Array($0) } }

    /// From exactly 16 bytes; missing ones count as zero, further ones are ignored.
    package init(bytes: [UInt8]) {
        var raw: uuid_t = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &raw) { target in
            for (index, byte) in bytes.prefix(16).enumerated() { target[index] = byte }
        }
        self.init(uuid: raw)
    }
}
