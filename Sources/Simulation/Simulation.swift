/// Runs seeds: one at a time, each from nothing, each the same every time.
package enum Simulation {
    /// One seed. With `isTracing` the last 40 steps are kept in words, which is slower.
    package static func run(seed: UInt64, sabotage: ModelSabotage? = nil, isTracing: Bool = false) -> Outcome {
        World(seed: seed, sabotage: sabotage, isTracing: isTracing).run()
    }

    /// The first of the seeds 1… that notices the mistake; nil: none does.
    package static func firstFailure(of sabotage: ModelSabotage, within seeds: UInt64) -> Outcome? {
        for seed in 1...seeds {
            let outcome = run(seed: seed, sabotage: sabotage)
            if outcome.violation != nil { return outcome }
        }
        return nil
    }
}
