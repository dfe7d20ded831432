package import Foundation

/// Reads a JSON object member by member and collects what is wrong with it: absent members, wrong types, and members that nobody
/// asked for. A request type reads all its members first and calls `finish()` last, so that a caller learns of all mistakes at once.
package struct StrictFields {
    package private(set) var problems: [Problem.Field] = []
    private let members: [JSONValue.Member]
    /// Which of them were asked for.
    private var isKnown: [Bool]
    private let codingPath: [any CodingKey]

    package struct AnyKey: CodingKey {
        package var stringValue: String
        package var intValue: Int? { nil }
        package init(stringValue: String) { self.stringValue = stringValue }
        package init?(intValue: Int) { nil }
    }

    package init(_ decoder: any Decoder) throws {
        guard let decoder = decoder as? JSONValueDecoder, case .object(let members) = decoder.value else {
            throw DecodingError.typeMismatch([String: String].self, .init(codingPath: decoder.codingPath, debugDescription: "not an object"))
        }
        self.members = members
        isKnown = Array(repeating: false, count: members.count)
        codingPath = decoder.codingPath
    }

    /// The member, nil when absent or null. A member of another type is noted as a problem and read as nil.
    package mutating func optional<Value: Decodable>(_ name: String, _ type: Value.Type = Value.self) -> Value? {
        var value: JSONValue?
        // Of a name given twice, which the body is refused for, the last.
        for (index, member) in members.enumerated() where member.name == name {
            isKnown[index] = true
            value = member.value
        }
        guard let value, !value.isNull else { return nil }
        do {
            return try JSONValueDecoder(value, at: codingPath + [AnyKey(stringValue: name)]).decode(type)
        } catch let nested as FieldProblems {
            problems += nested.fields
        } catch let DecodingError.typeMismatch(wanted, context) where context.codingPath.count > codingPath.count + 1 {
            problems.append(Problem.Field(pointer: Self.pointer(context.codingPath), code: "wrong_type", detail: "must be \(Self.kind(of: wanted))"))
        } catch let DecodingError.valueNotFound(wanted, context) where context.codingPath.count > codingPath.count + 1 {
            problems.append(Problem.Field(pointer: Self.pointer(context.codingPath), code: "wrong_type", detail: "must be \(Self.kind(of: wanted))"))
        } catch DecodingError.typeMismatch {
            problems.append(Problem.Field(pointer: pointer(name), code: "wrong_type", detail: "must be \(Self.kind(of: type))"))
        } catch {
            // A number that does not fit, or escapes that are no Unicode text.
            problems.append(Problem.Field(pointer: pointer(name), code: "invalid_value", detail: "cannot be read as \(Self.kind(of: type))"))
        }
        return nil
    }

    /// Like `optional`, and notes a problem when the member is absent.
    package mutating func required<Value: Decodable>(_ name: String, _ type: Value.Type = Value.self) -> Value? {
        let before = problems.count
        let value = optional(name, type)
        if value == nil && problems.count == before {
            problems.append(Problem.Field(pointer: pointer(name), code: "required", detail: "must be given"))
        }
        return value
    }

    package mutating func note(_ name: String, _ code: String, _ detail: String) {
        problems.append(Problem.Field(pointer: pointer(name), code: code, detail: detail))
    }

    /// Throws `FieldProblems` when anything was wrong, members that were never asked for included.
    package mutating func finish() throws {
        for key in zip(members, isKnown).filter({ !$1 }).map(\.0.name).sorted() {
            problems.append(Problem.Field(pointer: pointer(key), code: "unknown_field", detail: "is not a field of this request"))
        }
        guard problems.isEmpty else { throw FieldProblems(fields: problems) }
    }

    package func pointer(_ name: String) -> String { "\(Self.pointer(codingPath))/\(Self.escaped(name))" }

    private static func pointer(_ path: [any CodingKey]) -> String {
        path.map { "/" + ($0.intValue.map(String.init) ?? escaped($0.stringValue)) }.joined()
    }

    /// RFC 6901 §3.
    static func escaped(_ name: String) -> String {
        name.replacingOccurrences(of: "~", with: "~0").replacingOccurrences(of: "/", with: "~1")
    }

    private static func kind(of type: Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is Int.Type: "a whole number"
        case is [String: String].Type: "an object of strings"
        case is [String].Type: "an array of strings"
        case is any JSONArray.Type: "an array"
        default: "an object"
        }
    }
}

/// What is written as an array, for the sentence that says so.
package protocol JSONArray {}
extension Array: JSONArray {}

/// What was wrong in a JSON body, place by place.
package struct FieldProblems: Error, Sendable {
    package var fields: [Problem.Field]

    package init(fields: [Problem.Field]) { self.fields = fields }
}
