import ArgumentParser
import Foundation
import Simulation

/// `prove simulate`: seeds of the simulated fleet, then the same with deliberate mistakes that must be noticed.
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "A simulated fleet under a seeded scheduler: crashes, pauses, lost and late acks, doubled receipts.")

    @Option(help: "Seeds to run, from 1 on.")
    var seeds: UInt64 = 2_000
    @Option(help: "Only this seed, with its last 40 steps.")
    var seed: UInt64?
    @Option(help: "A deliberate mistake, which must be noticed.")
    var sabotage: String?
    @Option(help: "Where failing seeds are kept; the tests run them again.")
    var keep = "Tests/SimulationTests/seeds.txt"
    @Flag(help: "Without the deliberate mistakes.")
    var single = false

    func validate() throws {
        if seeds == 0 { throw ValidationError("--seeds must be at least 1") }
        if let sabotage, ModelSabotage(rawValue: sabotage) == nil {
            throw ValidationError("--sabotage is one of \(ModelSabotage.allCases.map(\.rawValue).joined(separator: ", "))")
        }
    }

    func run() throws {
        if let seed {
            let outcome = Simulation.run(seed: seed, sabotage: sabotage.flatMap(ModelSabotage.init), isTracing: true)
            print(outcome.trace.joined(separator: "\n"))
            print("seed \(seed), \(outcome.steps) steps: \(outcome.violation?.description ?? "every promise kept")")
            if outcome.violation != nil { throw ExitCode.failure }
            return
        }
        if let sabotage = sabotage.flatMap(ModelSabotage.init) {
            guard noticed([sabotage]) else { throw ExitCode.failure }
            return
        }
        let isClean = try runSeeds()
        guard single || noticed(ModelSabotage.allCases), isClean else { throw ExitCode.failure }
    }

    private func runSeeds() throws -> Bool {
        var figures = Figures()
        var steps = 0
        var failed: [UInt64] = []
        let took = ContinuousClock().measure {
            for seed in 1...seeds {
                let outcome = Simulation.run(seed: seed)
                figures += outcome.figures
                steps += outcome.steps
                guard let violation = outcome.violation else { continue }
                failed.append(seed)
                print("seed \(seed) fails at step \(outcome.steps): \(violation)")
                print(Simulation.run(seed: seed, isTracing: true).trace.map { "    " + $0 }.joined(separator: "\n"))
            }
        }
        try remember(failed)
        print(
            """
            simulation
              seeds               \(seeds), \(failed.count) failed
              steps               \(steps) in \(took.formatted(.units(allowed: [.seconds], fractionalPart: .show(length: 1))))
              accepted            \(figures.accepted)
              ok                  \(figures.ok)
              recovered           \(figures.recovered)
              lost                \(figures.lost)
              shown twice         \(figures.shownTwice)
              unexpected          \(figures.unexpected)
              stuck               \(figures.stuck)
              wires               \(figures.wires), \(figures.resends) of them resends
              moves, take-overs   \(figures.moves), \(figures.takeovers)
              ended as            \(ModelState.allCases.compactMap { state in figures.states[state].map { "\(state.name) \($0)" } }.joined(separator: ", "))
            """)
        return failed.isEmpty
    }

    /// Adds failing seeds to the file that the tests read.
    private func remember(_ failed: [UInt64]) throws {
        guard !failed.isEmpty else { return }
        let file = URL(fileURLWithPath: keep)
        let known = (try? String(contentsOf: file, encoding: .utf8))?.split(whereSeparator: \.isNewline).compactMap { UInt64($0) } ?? []
        let all = Set(known + failed).sorted()
        try (all.map(String.init).joined(separator: "\n") + "\n").write(to: file, atomically: true, encoding: .utf8)
        print("failing seeds are kept in \(keep)")
    }

    /// Whether each mistake is noticed within 500 seeds.
    private func noticed(_ mistakes: [ModelSabotage]) -> Bool {
        print("\nmistake                       noticed at          by")
        var isComplete = true
        for sabotage in mistakes {
            let name = sabotage.rawValue.padding(toLength: 28, withPad: " ", startingAt: 0)
            if let outcome = Simulation.firstFailure(of: sabotage, within: 500), let violation = outcome.violation {
                let place = "seed \(outcome.seed) step \(outcome.steps)".padding(toLength: 20, withPad: " ", startingAt: 0)
                print("\(name)  \(place)\(violation)")
            } else {
                isComplete = false
                print("\(name)  NOT NOTICED")
            }
        }
        return isComplete
    }
}
