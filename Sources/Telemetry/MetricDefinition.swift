/// One metric as it is documented: what it counts, in which unit, under which labels. Only what is defined is ever exported.
///
/// A label's values come from closed lists of ours (states, codes, route templates), never from a peer and never from an id.
package struct MetricDefinition: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// Only grows, and begins at 0 when the process does. Its name ends with `_total`.
        case counter
        case gauge
        /// Upper bounds of the buckets, ascending, in the metric's unit; a last bucket without bound is added.
        case histogram(bounds: [Double])

        /// As the exposition format calls it.
        package var word: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    package let name: String
    package let kind: Kind
    /// One sentence, with the unit.
    package let help: String
    /// Names in the order in which they are printed.
    package let labels: [String]
    /// How many combinations of label values are kept; further ones are dropped and counted.
    package let limit: Int

    package init(_ name: String, _ kind: Kind, _ help: String, labels: [String] = [], limit: Int = 256) {
        precondition(Self.isName(name) && labels.allSatisfy { Self.isName($0) && $0 != "le" }, "not a name that Prometheus takes")
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
        self.limit = labels.isEmpty ? 1 : limit
    }

    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f }
    }
}
