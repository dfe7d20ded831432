import Foundation
import Glibc

/// A program started by a benchmark. What it prints goes to a file; `stop()` ends it whatever it does.
final class ChildProcess: Sendable {
    private let process: Process
    private let name: String

    /// Starts the program.
    /// - Parameters:
    ///   - output: file that takes standard output and standard error, appended to.
    ///   - environment: added to ours, from which the gateway's own variables are taken out.
    init(_ program: String, _ arguments: [String], environment: [String: String] = [:], output: String, errors: String? = nil) throws {
        process = Process()
        name = URL(fileURLWithPath: program).lastPathComponent
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("GATEWAY_") }.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try Self.file(output)
        process.standardError = try Self.file(errors ?? output)
        // A child takes over the signal mask of the thread that starts it, and those of Swift's pool block what pgbench's timer needs.
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
    }

    var processID: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    /// The exit code. Throws when it takes longer than `limit`, or the task is cancelled; the program is stopped then.
    func exitCode(within limit: Duration) async throws -> Int32 {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        do {
            while process.isRunning {
                guard clock.now < end else { throw BenchmarkFailure("\(name) did not end within \(limit)") }
                try await clock.sleep(for: .milliseconds(20))
            }
        } catch {
            await stop()
            throw error
        }
        return process.terminationStatus
    }

    /// SIGTERM, after 20 seconds SIGKILL; returns when the process is gone. A second call does nothing.
    func stop() async {
        // Not cancelled with the task that asks for it.
        await Task { [process] in
            guard process.isRunning else { return }
            process.terminate()
            for _ in 0..<1_000 where process.isRunning { try? await ContinuousClock().sleep(for: .milliseconds(20)) }
            guard process.isRunning else { return }
            kill(process.processIdentifier, SIGKILL)
            for _ in 0..<500 where process.isRunning { try? await ContinuousClock().sleep(for: .milliseconds(20)) }
        }.value
    }

    /// Runs a program to its end and returns what it wrote to standard output.
    static func output(
        of program: String, _ arguments: [String], environment: [String: String] = [:], folder: String, limit: Duration
    ) async throws -> String {
        let output = "\(folder)/output-\(UUID().uuidString)"
        let errors = "\(folder)/errors.log"
        let child = try ChildProcess(program, arguments, environment: environment, output: output, errors: errors)
        let code = try await child.exitCode(within: limit)
        let text = try String(contentsOfFile: output, encoding: .utf8)
        try FileManager.default.removeItem(atPath: output)
        guard code == 0 else { throw BenchmarkFailure("\(child.name) ended with \(code); see \(errors)") }
        return text
    }

    /// The path of a program on `PATH`.
    static func find(_ name: String) throws -> String {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        guard let path = folders.map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) else {
            throw BenchmarkFailure("\(name) is not installed; Scripts/bench installs it")
        }
        return path
    }

    private static func file(_ path: String) throws -> FileHandle {
        if !FileManager.default.fileExists(atPath: path) { FileManager.default.createFile(atPath: path, contents: nil) }
        guard let handle = FileHandle(forWritingAtPath: path) else { throw BenchmarkFailure("cannot write \(path)") }
        handle.seekToEndOfFile()
        return handle
    }
}
