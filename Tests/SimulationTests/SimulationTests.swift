import Foundation
import Simulation
import Testing

@Suite struct SimulationTests {
    /// Seeds that failed once, one a line; `prove simulate` adds to them.
    private static let kept: [UInt64] = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("seeds.txt")
        return (try? String(contentsOf: file, encoding: .utf8))?.split(whereSeparator: \.isNewline).compactMap { UInt64($0) } ?? []
    }()

    @Test func `two thousand seeds keep every promise`() {
        var figures = Figures()
        var failures: [String] = []
        for seed in UInt64(1)...2_000 {
            let outcome = Simulation.run(seed: seed)
            figures += outcome.figures
            if let violation = outcome.violation { failures.append("seed \(seed): \(violation)") }
        }

        #expect(failures.isEmpty, "\(failures.count) seeds failed: \(failures.prefix(5))")
        #expect(figures.lost == 0 && figures.shownTwice == 0 && figures.unexpected == 0 && figures.stuck == 0)
        // The faults did happen, and messages got through all the same.
        #expect(figures.resends > 200 && figures.moves > 50 && figures.takeovers > 2_000 && figures.recovered > 20)
        #expect(figures.states[.delivered, default: 0] + figures.states[.read, default: 0] > 8_000)
    }

    @Test func `every seed that failed once passes now`() {
        #expect(!Self.kept.isEmpty)
        for seed in Self.kept {
            let violation = Simulation.run(seed: seed).violation
            #expect(violation == nil, "seed \(seed): \(violation.map(\.description) ?? "")")
        }
    }

    @Test func `a seed gives the same run every time`() {
        for seed in UInt64(1)...20 {
            let first = Simulation.run(seed: seed)
            let again = Simulation.run(seed: seed, isTracing: true)
            #expect(first.steps == again.steps && first.figures.states == again.figures.states && first.figures.wires == again.figures.wires)
        }
    }

    @Test(arguments: ModelSabotage.allCases) func `a deliberate mistake is noticed within 500 seeds`(sabotage: ModelSabotage) {
        let found = Simulation.firstFailure(of: sabotage, within: 500)
        #expect(found != nil, "\(sabotage.rawValue) was not noticed")
    }
}
