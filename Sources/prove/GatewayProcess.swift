import Foundation

/// A real gateway process that a proof starts, kills and starts again, always on the same data directory and port.
final class GatewayProcess {
    struct DidNotStart: Error, CustomStringConvertible {
        var description: String
    }

    let binary: String
    let dataDirectory: String
    let port: Int
    private let endpoint: String
    private let extra: [String: String]
    private var process: Process?

    /// - Parameter extra: further environment, which wins over what every proof sets.
    init(binary: String, dataDirectory: String, port: Int, simulator endpoint: String, environment extra: [String: String] = [:]) {
        self.extra = extra
        self.binary = binary
        self.dataDirectory = dataDirectory
        self.port = port
        self.endpoint = endpoint
    }

    var baseURL: String { "http://127.0.0.1:\(port)" }
    var logFile: String { dataDirectory + "/gateway.log" }

    private var environment: [String: String] {
        ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("GATEWAY_") }.merging([
            "GATEWAY_DATA_DIR": dataDirectory, "GATEWAY_SERVER_LISTEN": "127.0.0.1:\(port)", "GATEWAY_SANDBOX_ENDPOINT": endpoint,
            "GATEWAY_DELIVERY_LEASE_TTL_SECONDS": "3", "GATEWAY_DELIVERY_CLAIM_DEADLINE_SECONDS": "3",
        ]) { $1 }.merging(extra) { $1 }
    }

    /// Runs one verb and returns what it printed as JSON.
    func verb(_ arguments: [String]) throws -> [String: Any] {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = arguments + ["--json"]
        process.environment = environment
        process.standardOutput = output
        process.standardError = try log()
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0, let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw DidNotStart(description: "gateway \(arguments.joined(separator: " ")) failed with \(process.terminationStatus)")
        }
        return object
    }

    /// Starts `serve` and returns when `/readyz` says ready.
    func start(failpoint: String? = nil, sabotage: String? = nil) async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = ["serve"]
        var environment = environment
        environment["FAILPOINT"] = failpoint
        environment["SABOTAGE"] = sabotage
        process.environment = environment
        let log = try log()
        process.standardOutput = log
        process.standardError = log
        try process.run()
        self.process = process
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(60))
        while clock.now < end {
            guard process.isRunning else { throw DidNotStart(description: "gateway serve ended with \(process.terminationStatus); see \(logFile)") }
            if let answer = try? await HTTP.request("GET", baseURL + "/readyz", timeout: 2), answer.status == 200 { return }
            try await clock.sleep(for: .milliseconds(50))
        }
        throw DidNotStart(description: "gateway serve was not ready after 60 s; see \(logFile)")
    }

    /// kill -9, returning when the process is gone.
    func kill() {
        guard let process, process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// SIGTERM, returning when the process is gone.
    func stop() {
        guard let process, process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }

    /// Waits until the process has ended by itself. False after `timeout`.
    func waitForDeath(timeout: Duration) async -> Bool {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: timeout)
        while clock.now < end {
            if process?.isRunning != true { return true }
            try? await clock.sleep(for: .milliseconds(20))
        }
        return false
    }

    /// Appends, so that a verb and the server may write at the same time.
    private func log() throws -> FileHandle {
        let descriptor = open(logFile, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw DidNotStart(description: "cannot write \(logFile)") }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }
}
