import Foundation

/// A real gateway with a data directory, a PostgreSQL and a port of its own.
struct GatewayProcess {
    private struct Created: Decodable {
        var id: String?
        var secret: String?
    }

    let binary: String
    let dataDirectory: String
    let port: Int
    /// The simulator's `ws://` address.
    let endpoint: String
    /// More settings, as environment variables.
    var settings: [String: String] = [:]

    private var environment: [String: String] {
        [
            "GATEWAY_DATA_DIR": dataDirectory, "GATEWAY_SERVER_LISTEN": "127.0.0.1:\(port)", "GATEWAY_SANDBOX_ENDPOINT": endpoint,
            "GATEWAY_DELIVERY_LOGINS_PER_SECOND": "1000", "GATEWAY_LOG_LEVEL": "warning",
        ].merging(settings) { $1 }
    }

    /// A new account's test key.
    func makeTestKey() async throws -> String {
        guard let account = try await verb(["account", "create", "Benchmark"]).id else { throw BenchmarkFailure("the account has no id") }
        guard let key = try await verb(["key", "create", "--account", account, "--label", "benchmark", "--test"]).secret else {
            throw BenchmarkFailure("the key has no secret")
        }
        return key
    }

    private func verb(_ arguments: [String]) async throws -> Created {
        let text = try await ChildProcess.output(
            of: binary, arguments + ["--json"], environment: environment, folder: dataDirectory, limit: .seconds(60))
        return try JSONDecoder().decode(Created.self, from: Data(text.utf8))
    }

    /// Runs `serve` while `body` runs, and stops it afterwards. `body` starts when `/readyz` says ready and is told how long that took.
    func serve<Result: Sendable>(roles: String = "api,engine,cron", _ body: (ChildProcess, Duration) async throws -> Result) async throws -> Result {
        let clock = ContinuousClock()
        let start = clock.now
        let log = dataDirectory + "/gateway.log"
        let child = try ChildProcess(binary, ["serve", "--roles", roles], environment: environment, output: log)
        do {
            try await child.waitUntilReady(port: port, log: log)
            let result = try await body(child, start.duration(to: clock.now))
            await child.stop()
            return result
        } catch {
            await child.stop()
            throw error
        }
    }
}

extension ChildProcess {
    /// Returns when `/readyz` answers 200; throws after a minute, or when the process ends before.
    func waitUntilReady(port: Int, log: String) async throws {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(60))
        while clock.now < end {
            guard isRunning else { break }
            // Nobody listens yet.
            if let answer = try? await HTTPConnection.with(port: port, { try await $0.send(.GET, "/readyz").status }), answer == 200 { return }
            try await clock.sleep(for: .milliseconds(5))
        }
        throw BenchmarkFailure("the server on port \(port) did not become ready; see \(log)")
    }
}
