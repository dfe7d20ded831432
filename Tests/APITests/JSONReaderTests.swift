import Foundation
import TestSupport
import Testing

@testable import Web

/// Our reader and writer of JSON against Foundation's.
@Suite struct JSONReaderTests {
    /// What Foundation makes of the same text; nil when it refuses it.
    private static func reference(_ bytes: [UInt8]) -> Any? { try? JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed]) }

    private static func read(_ bytes: [UInt8]) -> JSONValue? {
        var reader = JSONReader(bytes, maximumDepth: 16)
        return try? reader.read()
    }

    private static func agree(_ value: JSONValue, _ reference: Any) -> Bool {
        switch value {
        case .null: return reference is NSNull
        case .bool(let bool): return (reference as? Bool) == bool
        case .number: return value.double.map { $0 == (reference as? NSNumber)?.doubleValue } ?? true
        case .string(let text): return (reference as? String) == text
        case .unreadableString: return true
        case .array(let elements):
            guard let others = reference as? [Any] else { return false }
            return elements.count == others.count && zip(elements, others).allSatisfy(agree)
        case .object(let members):
            guard let others = reference as? [String: Any], Set(members.map(\.name)).count == members.count else { return true }
            return members.count == others.count && members.allSatisfy { member in others[member.name].map { agree(member.value, $0) } ?? false }
        }
    }

    @Test(arguments: [
        "", " ", "{", "}", "[", "]", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\"}", "{\"a\":}", "{a:1}", "{'a':1}", "nul", "nulll", "tru", "True", "01",
        "-", "-01",
        "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"a\nb\"", "\"\t\"", "1 2", "{} {}",
        "[1}", "{\"a\":1]",
        "\"\\\"", "// x\n1", "\u{A0}1", "[1 2]", "{\"a\" 1}", "--1", "1.e3",
    ])
    func `what is no JSON is refused`(text: String) {
        #expect(Self.read(Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        "0", "-0", "1.0", "1e2", "1E+2", "-1.5e-3", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e400", "true", "false",
        "null", "\"\"",
        "\"\\u00e9\\n\\t\\r\\b\\f\\/\\\\\\\"\"", "\"\\ud83d\\ude00\"", "\"\\u0000\"", " [ 1 , [ ] , { } ] ", "{\"\":{\"\":1}}",
        "{\"a\":[{\"b\":null}]}", "\"😀\"",
        "\u{FEFF}1",
    ])
    func `what is JSON is read as Foundation reads it`(text: String) throws {
        let value = try #require(Self.read(Array(text.utf8)))
        if let reference = Self.reference(Array(text.utf8)) { #expect(Self.agree(value, reference)) }
    }

    @Test func `thirty thousand texts, most of them damaged, are read or refused as Foundation does`() {
        var random = SeededRandom(20_261_121)
        let signs = Array("{}[]\",:\\u0129-+.eE truefalsn é😀\n\t".utf8)
        var accepted = 0
        for _ in 0..<30_000 {
            var bytes = Array(Self.sample(&random, depth: 0).utf8)
            for _ in 0..<Int.random(in: 0...2, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = signs.randomElement(using: &random) ?? 0
                case 1: bytes.insert(signs.randomElement(using: &random) ?? 0, at: place)
                default: bytes.remove(at: place)
                }
            }
            guard String(validating: bytes, as: UTF8.self) != nil else { continue }
            let value = Self.read(bytes)
            let reference = Self.reference(bytes)
            let text = String(decoding: bytes, as: UTF8.self)
            // Foundation lets a comma stand before the end. Half a surrogate pair and numbers beyond all bounds are syntax; it refuses them as a whole.
            let isLaxer = text.contains(/,\s*[\]}]/)
            let isStricter = text.contains("\\u") || text.contains("e") || text.contains("E")
            #expect((value != nil) == (reference != nil) || (value == nil ? isLaxer : isStricter), "\(text.debugDescription)")
            if let value, let reference {
                accepted += 1
                #expect(Self.agree(value, reference), "\(text)")
            }
        }
        #expect(accepted > 5_000)
    }

    @Test func `whole numbers that fit are whole numbers, however they are written`() {
        let cases: [(String, Int?)] = [
            ("0", 0), ("-0", 0), ("12", 12), ("-12", -12), ("1.0", 1), ("1e2", 100), ("1.5", nil), ("9223372036854775807", .max),
            ("-9223372036854775808", .min), ("9223372036854775808", nil), ("-9223372036854775809", nil), ("1e30", nil), ("1e400", nil),
        ]
        for (text, expected) in cases { #expect(Self.read(Array(text.utf8))?.integer == expected, "\(text)") }
    }

    @Test func `what nests too deep is told from what is no JSON, and names given twice are named with their place`() throws {
        var deep = JSONReader(Array((String(repeating: "[", count: 17) + String(repeating: "]", count: 17)).utf8), maximumDepth: 16)
        #expect { _ = try deep.read() } throws: { ($0 as? JSONReader.Failure)?.isTooDeep == true }
        var broken = JSONReader(Array("[[".utf8), maximumDepth: 16)
        #expect { _ = try broken.read() } throws: { ($0 as? JSONReader.Failure)?.isTooDeep == false }

        let many = (0..<40).map { "\"n\($0 % 39)\":0" }.joined(separator: ",")
        var reader = JSONReader(Array("{\"a\":[{\"b/c\":1,\"\\u0062/c\":2}],\"d\":{\(many)}}".utf8), maximumDepth: 16)
        _ = try reader.read()
        #expect(reader.duplicates.map(\.pointer) == ["/a/0/b~1c", "/d/n0"])
    }

    // MARK: The writer

    private struct Answer: Encodable {
        struct Part: Encodable {
            var name: String
            var count: Int?
        }
        struct Nothing: Encodable {}
        struct Null: Encodable {
            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                try container.encodeNil()
            }
        }
        enum Word: String, Encodable { case yes, no }

        var text: String
        var number: Int
        var share: Double
        var flag: Bool
        var absent: String?
        var time: Date
        var labels: [String: String]
        var parts: [Part]
        var empty: [Int]
        var nothing = Nothing()
        var null = Null()
        var word: Word
        var numbers: [Int?]
    }

    @Test func `what is written is what Foundation reads back, and the same each time`() throws {
        var random = SeededRandom(7)
        for _ in 0..<500 {
            let answer = Answer(
                text: Self.text(&random), number: Int.random(in: .min ... .max, using: &random), share: Double.random(in: -1e9...1e9, using: &random),
                flag: Bool.random(using: &random), time: Date(timeIntervalSince1970: Double(Int.random(in: 0...2_000_000_000, using: &random))),
                labels: Dictionary((0..<4).map { _ in (Self.text(&random), Self.text(&random)) }) { $1 },
                parts: (0..<3).map { Answer.Part(name: Self.text(&random), count: $0 == 1 ? nil : $0) }, empty: [], word: .yes, numbers: [1, nil, 3])
            let bytes = try JSONText.bytes(answer)
            #expect(try bytes == JSONText.bytes(answer))

            let encoder = JSONEncoder()
            encoder.dateEncodingStrategy = .custom { date, encoder in
                var container = encoder.singleValueContainer()
                try container.encode(Timestamp.text(date))
            }
            let ours = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? NSDictionary)
            let theirs = try #require(try JSONSerialization.jsonObject(with: encoder.encode(answer)) as? NSDictionary)
            #expect(ours == theirs)
            #expect(Self.read(bytes) != nil)
        }
    }

    @Test func `what cannot be written is refused, and members stand in the value's own order`() throws {
        struct Nested: Encodable {
            private enum Key: CodingKey { case outer, inner }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Key.self)
                var inner = container.nestedContainer(keyedBy: Key.self, forKey: .outer)
                try inner.encode(1, forKey: .inner)
            }
        }
        struct Ordered: Encodable {
            var b = 1
            var a = "\u{1}\"\\/é"
        }
        #expect(throws: EncodingError.self) { _ = try JSONText.bytes(["a": Double.nan]) }
        #expect(throws: EncodingError.self) { _ = try JSONText.bytes(Nested()) }
        #expect(String(decoding: try JSONText.bytes(Ordered()), as: UTF8.self) == #"{"b":1,"a":"\u0001\"\\/é"}"#)
    }

    // MARK: Samples

    private static func sample(_ random: inout SeededRandom, depth: Int) -> String {
        switch Int.random(in: 0..<(depth > 3 ? 5 : 7), using: &random) {
        case 0: return ["null", "true", "false"].randomElement(using: &random) ?? "null"
        case 1: return "\(Int.random(in: -1_000...1_000, using: &random))"
        case 2: return "\(Double(Int.random(in: -1_000_000...1_000_000, using: &random)) / 64)"
        case 3, 4: return quoted(text(&random))
        case 5: return "[" + (0..<Int.random(in: 0...3, using: &random)).map { _ in sample(&random, depth: depth + 1) }.joined(separator: ", ") + "]"
        default:
            let members = (0..<Int.random(in: 0...3, using: &random)).map { "\(quoted("k\($0)")): \(sample(&random, depth: depth + 1))" }
            return "{" + members.joined(separator: ",") + "}"
        }
    }

    private static func text(_ random: inout SeededRandom) -> String {
        let characters: [Character] = ["a", "Z", "0", " ", "é", "😀", "\"", "\\", "/", "\n", "\u{1}", "\u{7F}", "\u{2028}", "ß"]
        return String((0..<Int.random(in: 0...12, using: &random)).map { _ in characters.randomElement(using: &random) ?? "a" })
    }

    private static func quoted(_ text: String) -> String {
        String(decoding: (try? JSONEncoder().encode(text)) ?? Data(), as: UTF8.self)
    }
}
