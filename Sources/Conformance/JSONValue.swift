package import Foundation
import Primitives

/// A JSON document as a tree; vector files are too varied for one `Codable` type each.
/// The accessors throw `VectorMismatch` naming the missing or mistyped member.
package enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case integer(Int64)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package init(data: Data) throws {
        self = try JSONDecoder().decode(JSONValue.self, from: data)
    }
}

extension JSONValue: Decodable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }
}

extension JSONValue {
    /// The member, or nil when this is no object, has no such member, or the member is null.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self, let value = members[key], value != .null else { return nil }
        return value
    }

    package func has(_ key: String) -> Bool { self[key] != nil }

    /// False when the member is absent.
    package func flag(_ key: String) -> Bool { self[key] == .bool(true) }

    package func member(_ key: String) throws -> JSONValue {
        guard let value = self[key] else { throw VectorMismatch("member \(key) is missing") }
        return value
    }

    package func string(_ key: String) throws -> String {
        guard case .string(let value) = try member(key) else { throw VectorMismatch("member \(key) is no string") }
        return value
    }

    package func int(_ key: String) throws -> Int {
        guard let value = try member(key).asInt else { throw VectorMismatch("member \(key) is no integer") }
        return value
    }

    package func uint32(_ key: String) throws -> UInt32 {
        guard let value = UInt32(exactly: try int(key)) else { throw VectorMismatch("member \(key) does not fit 32 bits") }
        return value
    }

    package func array(_ key: String) throws -> [JSONValue] {
        guard case .array(let values) = try member(key) else { throw VectorMismatch("member \(key) is no array") }
        return values
    }

    /// A member that holds lowercase hex, as bytes.
    package func bytes(_ key: String) throws -> [UInt8] {
        guard let value = try member(key).asBytes else { throw VectorMismatch("member \(key) is no hex") }
        return value
    }

    package var asString: String? {
        guard case .string(let value) = self else { return nil }
        return value
    }

    package var asBytes: [UInt8]? {
        guard case .string(let value) = self else { return nil }
        return Hex.decode(value)
    }

    package var asInt: Int? {
        switch self {
        case .integer(let value): Int(exactly: value)
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    package var asArray: [JSONValue]? {
        guard case .array(let values) = self else { return nil }
        return values
    }

    package var asObject: [String: JSONValue]? {
        guard case .object(let members) = self else { return nil }
        return members
    }
}
