package import Foundation

/// Runs every suite over a folder of vector files and keeps the score.
package struct VectorRun: Sendable {
    /// How the cases of one file went. `cases == passed + failures.count + advisories.count`.
    package struct Score: Sendable {
        package var file: String
        package var passed = 0
        /// Case name and what differed.
        package var failures: [(name: String, reason: String)] = []
        /// Differences in cases that are marked as advisory.
        package var advisories: [(name: String, reason: String)] = []

        package var cases: Int { passed + failures.count + advisories.count }
    }

    package private(set) var scores: [Score] = []
    /// JSON files in the folder that no suite knows.
    package private(set) var unknownFiles: [String] = []

    /// Reads the files of `folder` that are there and runs all their cases. Throws when a file cannot be read as vectors at all.
    package init(folder: URL) throws {
        let present = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".json") }.sorted()
        for file in present {
            guard let suite = Self.suites.first(where: { $0.fileName == file }) else {
                unknownFiles.append(file)
                continue
            }
            scores.append(Self.score(suite, cases: try Self.cases(of: folder.appendingPathComponent(file))))
        }
    }

    /// The cases of one file.
    package static func cases(of file: URL) throws -> [VectorCase] {
        try JSONValue(data: try Data(contentsOf: file)).array("cases").map(VectorCase.init)
    }

    private static func score(_ suite: any VectorSuite.Type, cases: [VectorCase]) -> Score {
        var score = Score(file: suite.fileName)
        for vector in cases {
            do {
                try suite.run(vector)
                score.passed += 1
            } catch  where vector.isAdvisory {
                score.advisories.append((vector.name, "\(error)"))
            } catch {
                score.failures.append((vector.name, "\(error)"))
            }
        }
        return score
    }
}

extension VectorRun: CustomStringConvertible {
    /// A table: cases, passed, failed and advisory differences per file, then their sums.
    package var description: String {
        var lines = [Self.row("file", "cases", "passed", "failed", "advisory")]
        for score in scores {
            lines.append(Self.row(score.file, "\(score.cases)", "\(score.passed)", "\(score.failures.count)", "\(score.advisories.count)"))
            lines += score.failures.map { "    FAILED \($0.name): \($0.reason.prefix(400))" }
            lines += score.advisories.map { "    advisory \($0.name): \($0.reason.prefix(200))" }
        }
        lines += unknownFiles.map { "\($0): no suite knows this file" }
        lines.append(Self.row("sum", "\(total)", "\(passed)", "\(failed)", "\(advisory)"))
        return lines.joined(separator: "\n")
    }

    package var total: Int { scores.reduce(0) { $0 + $1.cases } }
    package var passed: Int { scores.reduce(0) { $0 + $1.passed } }
    package var failed: Int { scores.reduce(0) { $0 + $1.failures.count } }
    package var advisory: Int { scores.reduce(0) { $0 + $1.advisories.count } }

    private static func row(_ columns: String...) -> String {
        columns.enumerated().map { index, text in
            let width = index == 0 ? 24 : 9
            let padding = String(repeating: " ", count: max(0, width - text.count))
            return index == 0 ? text + padding : padding + text
        }.joined()
    }
}
