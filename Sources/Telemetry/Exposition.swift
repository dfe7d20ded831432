/// Writes metrics in Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): a line a value, a `# HELP` and a
/// `# TYPE` line before each metric, a line feed after every line.
package struct Exposition {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package private(set) var text = ""

    mutating func begin(_ definition: MetricDefinition) {
        text += "# HELP \(definition.name) \(Self.escaped(definition.help, quotes: false))\n"
        text += "# TYPE \(definition.name) \(definition.kind.word)\n"
    }

    mutating func add(_ definition: MetricDefinition, _ values: [String], _ value: Double) {
        line(definition.name, Array(zip(definition.labels, values)), Self.number(value))
    }

    /// - Parameter cumulative: one more than the definition has bounds; the last is the number of all values.
    mutating func add(_ definition: MetricDefinition, _ values: [String], _ cumulative: [Int], sum: Double) {
        guard case .histogram(let bounds) = definition.kind, let count = cumulative.last else { return }
        let labels = Array(zip(definition.labels, values))
        for (bound, count) in zip(bounds + [.infinity], cumulative) {
            line(definition.name + "_bucket", labels + [("le", Self.number(bound))], "\(count)")
        }
        line(definition.name + "_sum", labels, Self.number(sum))
        line(definition.name + "_count", labels, "\(count)")
    }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }.joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    /// A backslash and a line feed everywhere, in a label's value the quotation mark too.
    static func escaped(_ text: String, quotes: Bool) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotes: result.append(contentsOf: "\\\"".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }

    /// As Go reads a float: whole numbers without a point, and `+Inf`, `-Inf`, `NaN`.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value.rounded() == value, abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }
}
