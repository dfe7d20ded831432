import ArgumentParser
import Conformance
import Foundation

/// The one door to the long evidence; `Scripts/prove` builds and calls it.
/// Each part prints its table and exits non-zero on any violation.
@main
struct Prove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prove", abstract: "Runs the long evidence and prints its tables.",
        subcommands: [
            Vectors.self, Simulate.self, KillMatrix.self, Nodes.self, Faults.self, Soak.self, Privacy.self, FakeTelegramCommand.self,
            FakeResendCommand.self,
        ])
}

/// `prove vectors [DIR]`: conformance vectors, ours or any folder of the same formats.
struct Vectors: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Runs conformance vectors: cases, passed, failed and advisory differences per file.")

    @Argument(help: "A folder of vector files.")
    var folder = "Tests/Vectors"

    func run() throws {
        let run = try VectorRun(folder: URL(fileURLWithPath: folder))
        print(run.description)
        guard run.failed == 0, run.total > 0 else { throw ExitCode.failure }
    }
}
