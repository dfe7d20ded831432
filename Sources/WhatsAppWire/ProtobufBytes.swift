import Foundation
package import SwiftProtobuf

extension SwiftProtobuf.Message {
    /// Parses bytes from the wire. Fields that the schema does not name are dropped: names and chats that we leave out must not linger.
    /// - Throws: `malformed`, also for messages nested deeper than 100.
    package init(wire bytes: [UInt8]) throws(WireError) {
        var options = BinaryDecodingOptions()
        options.discardUnknownFields = true
        do {
            self = try Self(serializedBytes: bytes, options: options)
        } catch {
            throw WireError(.malformed, "protobuf")
        }
    }

    init(wire data: Data) throws(WireError) {
        try self.init(wire: [UInt8](data))
    }

    /// The serialized message, fields in ascending order.
    package var wireBytes: [UInt8] {
        do {
            return try serializedBytes()
        } catch {
            // Only missing required fields, of which the schema has none, or 2 GiB of content, which no limit of ours lets through.
            preconditionFailure("a protobuf message could not be serialized")
        }
    }
}
