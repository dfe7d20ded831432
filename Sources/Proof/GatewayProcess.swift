import Foundation
import Synchronization

/// A real gateway process that is started, stopped or killed, and started again, always on the same data directory and port.
package final class GatewayProcess: Sendable {
    /// Leases that end soon, so that a gateway started after a kill need not wait for those of the dead one.
    package static let shortLeases = ["GATEWAY_DELIVERY_LEASE_TTL_SECONDS": "3", "GATEWAY_DELIVERY_CLAIM_DEADLINE_SECONDS": "3"]

    package let binary: String
    package let dataDirectory: String
    package let port: Int
    private let environment: [String: String]
    private let child = Mutex<ChildProcess?>(nil)

    /// - Parameters:
    ///   - endpoint: the simulator's `ws://` address.
    ///   - settings: further environment, which wins over what is set here.
    package init(binary: String, dataDirectory: String, port: Int, simulator endpoint: String, settings: [String: String] = [:]) {
        self.binary = binary
        self.dataDirectory = dataDirectory
        self.port = port
        environment = [
            "GATEWAY_DATA_DIR": dataDirectory, "GATEWAY_SERVER_LISTEN": "127.0.0.1:\(port)", "GATEWAY_SANDBOX_ENDPOINT": endpoint,
            "GATEWAY_SERVER_METRICS_LISTEN": "127.0.0.1:0",
        ].merging(settings) { $1 }
    }

    package var baseURL: String { "http://127.0.0.1:\(port)" }
    /// What `serve` prints, and what verbs print to standard error.
    package var logFile: String { dataDirectory + "/gateway.log" }

    /// Runs one verb and returns what it printed as JSON.
    package func verb(_ arguments: [String]) async throws -> [String: Any] {
        let text = try await ChildProcess.output(
            of: binary, arguments + ["--json"], environment: environment, errors: logFile, limit: .seconds(60))
        guard let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] else {
            throw ProofFailure("gateway \(arguments.first ?? "") printed no JSON object")
        }
        return object
    }

    /// A new account's test key.
    package func makeTestKey(account name: String) async throws -> String {
        guard let account = try await verb(["account", "create", name])["id"] as? String else { throw ProofFailure("the account has no id") }
        guard let key = try await verb(["key", "create", "--account", account, "--label", "proof", "--test"])["secret"] as? String else {
            throw ProofFailure("the key has no secret")
        }
        return key
    }

    /// Starts `serve` and returns when `/readyz` says ready; throws after a minute, or when the process ends before.
    /// - Parameters:
    ///   - roles: nil: all of them.
    ///   - failpoint: where the gateway is to kill itself.
    ///   - sabotage: a deliberate mistake, which a proof must notice.
    ///   - output: where it prints to; nil: `logFile`.
    ///   - more: environment of this start alone.
    package func start(
        roles: String? = nil, failpoint: String? = nil, sabotage: String? = nil, output: String? = nil, environment more: [String: String] = [:]
    ) async throws {
        var environment = environment.merging(more) { $1 }
        if let failpoint { environment["FAILPOINT"] = failpoint }
        if let sabotage { environment["SABOTAGE"] = sabotage }
        let child = try ChildProcess(
            binary, ["serve"] + (roles.map { ["--roles", $0] } ?? []), environment: environment, output: output ?? logFile)
        self.child.withLock { $0 = child }
        do { try await child.waitUntilReady(port: port, log: logFile) } catch {
            await child.stop()
            throw error
        }
    }

    /// Runs `serve` while `body` runs, and stops it afterwards. `body` starts when the gateway is ready and is told how long that took, and
    /// the process's id.
    package func serve<Result: Sendable>(roles: String? = nil, _ body: (Int32, Duration) async throws -> Result) async throws -> Result {
        let clock = ContinuousClock()
        let start = clock.now
        try await self.start(roles: roles)
        do {
            let result = try await body(child.withLock { $0?.processID } ?? 0, start.duration(to: clock.now))
            await stop()
            return result
        } catch {
            await stop()
            throw error
        }
    }

    /// Nil while there is none.
    package var processID: Int32? { child.withLock { $0.flatMap { $0.isRunning ? $0.processID : nil } } }

    /// Sends a signal to the running process and waits for nothing.
    package func signal(_ number: Int32) { child.withLock { $0 }?.signal(number) }

    /// kill -9, returning when the process is gone.
    package func kill() async { await child.withLock { $0 }?.kill() }

    /// SIGTERM, returning when the process is gone.
    package func stop() async { await child.withLock { $0 }?.stop() }

    /// Waits until the process has ended by itself. False after `timeout`.
    package func waitForDeath(timeout: Duration) async throws -> Bool { try await child.withLock { $0 }?.ended(within: timeout) ?? true }
}

extension ChildProcess {
    /// Returns when `/readyz` on a port of this machine answers 200; throws after a minute, or when the process ends before.
    package func waitUntilReady(port: Int, log: String) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(60))
        while clock.now < end {
            guard isRunning else { break }
            // Nobody listens yet.
            if let answer = try? await HTTP.request("GET", "http://127.0.0.1:\(port)/readyz", timeout: 2), answer.status == 200 { return }
            try await clock.sleep(for: .milliseconds(5))
        }
        throw ProofFailure("the server on port \(port) \(isRunning ? "was not ready after a minute" : "has ended"); see \(log)")
    }
}
