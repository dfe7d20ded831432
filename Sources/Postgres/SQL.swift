/// A statement with its values apart from its text: `"… WHERE id = \(id)"` binds `$1`, in PostgreSQL's binary format.
///
/// A value never becomes part of the text, so nothing a client sends can change what a statement does. An array binds as one array
/// (`unnest(\(ids), \(bodies))`), an Optional as a value or NULL of its type. A `String` binds as `text`: say `\(body)::jsonb` or
/// `\(state)::message_state` where the column has another type.
package struct SQL: Sendable, ExpressibleByStringInterpolation {
    /// The text between the bound values: always one more than there are values.
    var pieces: [String]
    /// What is bound, in the order of `$1`, `$2`, …
    private(set) var bindings: [Binding] = []
    /// The bytes of all bound values, one after another.
    private(set) var bytes: [UInt8] = []

    struct Binding: Sendable {
        /// The value's type in PostgreSQL's catalogue.
        var type: UInt32
        /// Where its bytes stand in `bytes`; nil is NULL.
        var range: Range<Int>?
    }

    package init(stringLiteral text: String) { pieces = [text] }

    package init(stringInterpolation: StringInterpolation) { self = stringInterpolation.sql }

    /// A statement from a text that is ours: a migration, or something put together from constants. Never from a client's input.
    package init(unescaped text: String) { pieces = [text] }

    /// The text as PostgreSQL gets it, with `$1`, `$2`, … where the values are.
    package var text: String {
        var text = pieces[0]
        for (index, piece) in pieces.dropFirst().enumerated() { text += "$\(index + 1)\(piece)" }
        return text
    }

    /// The types of the bound values, in order; part of what makes a prepared statement the same.
    var types: [UInt32] { bindings.map(\.type) }

    /// Adds another statement's text and values at the end.
    package mutating func append(_ other: SQL) {
        pieces[pieces.count - 1] += other.pieces[0]
        pieces += other.pieces.dropFirst()
        let start = bytes.count
        bindings += other.bindings.map { Binding(type: $0.type, range: $0.range.map { $0.lowerBound + start..<$0.upperBound + start }) }
        bytes += other.bytes
    }

    package static func + (left: SQL, right: SQL) -> SQL {
        var sum = left
        sum.append(right)
        return sum
    }

    private mutating func append(text: String) { pieces[pieces.count - 1] += text }

    private mutating func bind<Value: SQLBindable>(_ value: Value) {
        let start = bytes.count
        let isValue = value.encode(into: &bytes)
        bindings.append(Binding(type: Value.sqlType, range: isValue ? start..<bytes.count : nil))
        pieces.append("")
    }

    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var sql = SQL(unescaped: "")

        package init(literalCapacity: Int, interpolationCount: Int) {}

        package mutating func appendLiteral(_ literal: String) { sql.append(text: literal) }

        /// Binds a value.
        package mutating func appendInterpolation<Value: SQLBindable>(_ value: Value) { sql.bind(value) }

        /// Binds a value, or NULL of its type.
        package mutating func appendInterpolation<Value: SQLBindable>(_ value: Value?) { sql.bind(value) }

        /// Puts in another statement's text and values, for a part that several statements share.
        package mutating func appendInterpolation(_ fragment: SQL) { sql.append(fragment) }

        /// Puts in a text as it is, for names of our own tables and columns only.
        package mutating func appendInterpolation(unescaped text: String) { sql.append(text: text) }
    }
}
