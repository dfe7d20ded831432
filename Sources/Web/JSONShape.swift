import Foundation

/// What can be seen in a JSON text before anything parses it: how deep it nests, and names given twice in one object, of which a parser
/// silently keeps one. One pass without recursion; of a text that is no JSON it says something harmless.
struct JSONShape {
    private(set) var depth = 0
    private(set) var duplicates: [Problem.Field] = []

    private struct Container {
        let isObject: Bool
        var names: Set<ArraySlice<UInt8>> = []
        /// The last name, or how many elements came before.
        var name: ArraySlice<UInt8> = []
        var index = 0
        var expectsName: Bool
    }

    init(_ bytes: [UInt8]) {
        var open: [Container] = []
        var position = 0
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                let start = position
                var isEscaped = false
                while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                    if bytes[position] == UInt8(ascii: "\\") {
                        isEscaped = true
                        position += 1
                    }
                    position += 1
                }
                let end = min(position, bytes.count)
                position = end + 1
                guard let last = open.indices.last, open[last].expectsName else { continue }
                let raw = bytes[start..<end]
                open[last].expectsName = false
                open[last].name = isEscaped ? Self.unescaped(raw) : raw
                if !open[last].names.insert(open[last].name).inserted {
                    duplicates.append(Problem.Field(pointer: Self.pointer(open), code: "duplicate", detail: "is given twice"))
                }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                open.append(Container(isObject: byte == UInt8(ascii: "{"), expectsName: byte == UInt8(ascii: "{")))
                depth = max(depth, open.count)
                if depth > JSONBody.maximumDepth { return }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                _ = open.popLast()
            case UInt8(ascii: ","):
                guard let last = open.indices.last else { continue }
                open[last].expectsName = open[last].isObject
                open[last].index += 1
            default: break
            }
        }
    }

    private static func pointer(_ open: [Container]) -> String {
        open.map { "/" + ($0.isObject ? StrictFields.escaped(String(decoding: $0.name, as: UTF8.self)) : "\($0.index)") }.joined()
    }

    private static func unescaped(_ raw: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let quote = [UInt8(ascii: "\"")]
        guard let text = try? JSONDecoder().decode(String.self, from: Data(quote + raw + quote)) else { return raw }
        return ArraySlice(Array(text.utf8))
    }
}
