import Conformance
import Foundation
import Testing

/// Every case of every file in `Tests/Vectors`, which an independent implementation produced (see ORIGIN.md there).
@Suite struct VectorTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Vectors")

    @Test func `every case of every vector file agrees with ours`() throws {
        let run = try VectorRun(folder: Self.folder)

        print(run.description)
        #expect(run.failed == 0)
        #expect(run.unknownFiles == [])
        #expect(run.total == 740)
        #expect(run.scores.count == VectorRun.suites.count)
    }

    @Test func `a changed expectation is noticed in every file`() throws {
        for suite in VectorRun.suites {
            let cases = try VectorRun.cases(of: Self.folder.appendingPathComponent(suite.fileName))
            let unnoticed = cases.filter { vector in
                guard case .object(let members) = vector.json else { return true }
                let altered = members.mapValues(Self.altered).merging(["name": .string(vector.name)]) { $1 }
                do { try suite.run(VectorCase(.object(altered))) } catch { return false }
                return true
            }
            // Cases that state nothing but "must be refused" stay refused when their input is altered.
            #expect(unnoticed.count < cases.count, "\(suite.fileName) accepts anything")
        }
    }

    /// The same value with its last hex digit, number or flag changed, all the way down.
    private static func altered(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text) where text.count > 8 && text.allSatisfy(\.isHexDigit): .string(text.dropLast() + (text.last == "0" ? "1" : "0"))
        case .bool(let flag): .bool(!flag)
        case .array(let values): .array(values.map(altered))
        case .object(let members): .object(members.mapValues(altered))
        default: value
        }
    }
}
