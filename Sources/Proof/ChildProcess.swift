import Foundation
import Glibc

/// A program started by a proof or a benchmark. What it prints goes to a file; `stop()` ends it whatever it does.
package final class ChildProcess: Sendable {
    private let process: Process
    private let name: String

    /// Starts the program.
    /// - Parameters:
    ///   - environment: added to ours, from which the gateway's own variables are taken out.
    ///   - output: file that takes standard output and, without `errors`, standard error. Appended to, so that several may write at once.
    package init(_ program: String, _ arguments: [String], environment: [String: String] = [:], output: String, errors: String? = nil) throws {
        process = Process()
        name = URL(fileURLWithPath: program).lastPathComponent
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.filter { !Self.isGateways($0.key) }.merging(environment) { $1 }
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

    package var processID: Int32 { process.processIdentifier }
    package var isRunning: Bool { process.isRunning }

    /// The exit code. Throws when it takes longer than `limit`, or the task is cancelled; the program is stopped then.
    package func exitCode(within limit: Duration) async throws -> Int32 {
        do {
            guard try await ended(within: limit) else { throw ProofFailure("\(name) did not end within \(limit)") }
        } catch {
            await stop()
            throw error
        }
        return process.terminationStatus
    }

    /// Waits until the program has ended by itself. False after `limit`.
    package func ended(within limit: Duration) async throws -> Bool {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: limit)
        while process.isRunning {
            guard clock.now < end else { return false }
            try await clock.sleep(for: .milliseconds(20))
        }
        return true
    }

    /// SIGTERM, after 20 seconds SIGKILL; returns when the process is gone. A second call does nothing.
    package func stop() async {
        // Not cancelled with the task that asks for it.
        await Task { [self] in
            guard process.isRunning else { return }
            process.terminate()
            for _ in 0..<2_000 where process.isRunning { try? await ContinuousClock().sleep(for: .milliseconds(10)) }
            await kill()
        }.value
    }

    /// Sends a signal and waits for nothing. Nothing happens when the process is gone.
    package func signal(_ number: Int32) {
        if process.isRunning { Glibc.kill(process.processIdentifier, number) }
    }

    /// SIGKILL; returns when the process is gone.
    package func kill() async {
        await Task { [process] in
            guard process.isRunning else { return }
            Glibc.kill(process.processIdentifier, SIGKILL)
            for _ in 0..<5_000 where process.isRunning { try? await ContinuousClock().sleep(for: .milliseconds(2)) }
        }.value
    }

    /// Runs a program to its end and returns what it wrote to standard output, which is kept nowhere.
    /// - Parameter errors: file that standard error is appended to.
    package static func output(
        of program: String, _ arguments: [String], environment: [String: String] = [:], errors: String, limit: Duration
    ) async throws -> String {
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("output-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: output) }
        let child = try ChildProcess(program, arguments, environment: environment, output: output, errors: errors)
        let code = try await child.exitCode(within: limit)
        guard code == 0 else { throw ProofFailure("\(child.name) ended with \(code); see \(errors)") }
        return try String(contentsOfFile: output, encoding: .utf8)
    }

    /// The path of a program on `PATH`.
    package static func find(_ name: String) throws -> String {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        guard let path = folders.map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) else {
            throw ProofFailure("\(name) is not installed; Scripts/bench installs it")
        }
        return path
    }

    private static func isGateways(_ variable: String) -> Bool {
        ["GATEWAY_", "FAILPOINT", "SABOTAGE"].contains { variable.hasPrefix($0) }
    }

    private static func file(_ path: String) throws -> FileHandle {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ProofFailure("cannot write \(path)") }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }
}
