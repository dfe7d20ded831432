import Foundation

extension SendingLimits {
    /// The JSON object as it came: whatever its fields hold, so that every problem can be told at once. Encodes as it was, by name.
    package struct Shape: Codable, Sendable, Hashable {
        package indirect enum Field: Sendable, Hashable {
            case null
            case integer(Int)
            case flag(Bool)
            case text(String)
            case object([String: Field])
            /// An array, a fraction: nothing that a limit can be.
            case other
        }

        package var fields: [String: Field]

        package init(_ fields: [String: Field] = [:]) { self.fields = fields }

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            fields = [:]
            for name in container.allKeys { fields[name.stringValue] = try container.decode(Field.self, forKey: name) }
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Name.self)
            for (name, field) in fields.sorted(by: { $0.key < $1.key }) { try container.encode(field, forKey: Name(name)) }
        }

        struct Name: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(_ name: String) { stringValue = name }
            init?(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
    }

    /// The fields that are set, as the API shows them and as a row keeps them.
    package var shape: Shape { Shape(Dictionary(fields.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })) }

    /// What the `jsonb` column holds. Keys are sorted, so equal limits have equal texts.
    func stored() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(shape), as: UTF8.self)
    }

    /// Reads the `jsonb` column. A row of ours is always valid; one that is not counts as an error of ours.
    init(stored text: String, for subject: Subject) throws {
        if text == "{}" {
            self = .standard
        } else {
            self = try SendingLimits(JSONDecoder().decode(Shape.self, from: Data(text.utf8)), for: subject)
        }
    }
}

extension SendingLimits.Shape.Field: Codable {
    package init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: SendingLimits.Shape.Name.self) {
            var parts: [String: Self] = [:]
            for name in container.allKeys { parts[name.stringValue] = try container.decode(Self.self, forKey: name) }
            self = .object(parts)
            return
        }
        let value = try decoder.singleValueContainer()
        // A flag first: some decoders read `true` as 1.
        if value.decodeNil() {
            self = .null
        } else if let flag = try? value.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? value.decode(Int.self) {
            self = .integer(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else {
            self = .other
        }
    }

    package func encode(to encoder: any Encoder) throws {
        if case .object(let parts) = self {
            var container = encoder.container(keyedBy: SendingLimits.Shape.Name.self)
            for (name, part) in parts.sorted(by: { $0.key < $1.key }) { try container.encode(part, forKey: SendingLimits.Shape.Name(name)) }
            return
        }
        var container = encoder.singleValueContainer()
        switch self {
        case .integer(let value): try container.encode(value)
        case .flag(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .null, .other, .object: try container.encodeNil()
        }
    }
}
