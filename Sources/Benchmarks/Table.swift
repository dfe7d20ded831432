import Foundation

/// What one run found, as the lines of its table.
struct Table: Sendable {
    /// A figure with a target of design.md §11, by the name that `Scripts/bench-exceptions.txt` uses.
    struct Target: Sendable {
        enum Bound: Sendable {
            case atLeast(Double)
            case atMost(Double)
        }

        var name: String
        var bound: Bound

        func isMet(by figure: Double) -> Bool {
            switch bound {
            case .atLeast(let limit): figure >= limit
            case .atMost(let limit): figure <= limit
            }
        }

        var text: String {
            switch bound {
            case .atLeast(let limit): "≥ " + Table.number(limit)
            case .atMost(let limit): "≤ " + Table.number(limit)
            }
        }
    }

    private struct Line {
        var measure: String
        var load: Load?
        var figure: Double?
        var unit = ""
        var target: Target?
    }

    private var lines: [Line] = []

    mutating func add(_ measure: String, _ load: Load) { lines.append(Line(measure: measure, load: load)) }

    mutating func add(_ measure: String, _ figure: Double, _ unit: String = "", target name: String? = nil, _ bound: Target.Bound? = nil) {
        let target = name.flatMap { name in bound.map { Target(name: name, bound: $0) } }
        lines.append(Line(measure: measure, figure: figure, unit: unit, target: target))
    }

    /// Names of the targets that were missed.
    var missed: [String] {
        lines.compactMap { line in
            guard let target = line.target, let figure = line.figure, !target.isMet(by: figure) else { return nil }
            return target.name
        }
    }

    /// The whole table. A missed target shows its exception, if there is one.
    func text(exceptions: Exceptions) -> String {
        var rows = [["measure", "per second", "p50 ms", "p99 ms", "figure", "", "target", ""]]
        for line in lines {
            var verdict = ""
            if let target = line.target, let figure = line.figure {
                verdict =
                    target.isMet(by: figure)
                    ? "met" : exceptions.entries[target.name].map { "missed, excepted \($0.date)" } ?? "MISSED (\(target.name))"
            }
            rows.append([
                line.measure, line.load.map { Self.number($0.perSecond) } ?? "", line.load.map { Self.number($0.p50) } ?? "",
                line.load.map { Self.number($0.p99) } ?? "", line.figure.map(Self.number) ?? "", line.unit, line.target?.text ?? "", verdict,
            ])
        }
        let rightAligned: Set = [1, 2, 3, 4, 6]
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.indices.map { column in
                let gap = String(repeating: " ", count: widths[column] - row[column].count)
                return rightAligned.contains(column) ? gap + row[column] : row[column] + gap
            }
            return cells.joined(separator: "  ").replacing(#/\s+$/#, with: "")
        }.joined(separator: "\n")
    }

    /// Three significant digits, or all digits of a large number.
    static func number(_ value: Double) -> String {
        switch abs(value) {
        case 100...: String(format: "%.0f", value)
        case 10..<100: String(format: "%.1f", value)
        case 0: "0"
        case ..<0.1: String(format: "%.3f", value)
        default: String(format: "%.2f", value)
        }
    }
}

/// Targets that are known to be missed: lines of `name  date  reason`; `#` begins a comment.
struct Exceptions {
    struct Entry {
        var date: String
        var reason: String
    }

    private(set) var entries: [String: Entry] = [:]

    /// An absent file holds none. Throws for a line without name, date (yyyy-mm-dd) and reason.
    init(file: String) throws {
        guard FileManager.default.fileExists(atPath: file) else { return }
        for (number, line) in try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false).enumerated()
        {
            let text = line.trimmingCharacters(in: .whitespaces)
            guard !text.isEmpty, !text.hasPrefix("#") else { continue }
            guard let match = text.wholeMatch(of: /(\S+)\s+([0-9]{4}-[0-9]{2}-[0-9]{2})\s+(.+)/) else {
                throw BenchmarkFailure("\(file):\(number + 1): a line is 'name  yyyy-mm-dd  reason'")
            }
            entries[String(match.output.1)] = Entry(date: String(match.output.2), reason: String(match.output.3))
        }
    }
}
