import ArgumentParser

/// Measures the gateway beside its ceilings; `Scripts/bench` builds and calls it.
@main
struct BenchmarkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "Benchmarks", abstract: "Measures the gateway beside ceilings taken in the same run.",
        subcommands: [RunCommand.self, EchoCommand.self],
        defaultSubcommand: RunCommand.self)
}

/// Why a benchmark cannot go on; the text names what to look at.
struct BenchmarkFailure: Error, CustomStringConvertible {
    var description: String

    init(_ text: String) { description = text }
}
