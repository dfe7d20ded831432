import Foundation
import Glibc
import Logging
import Proof
import Simulator

/// A gateway with its own PostgreSQL that is killed and ended politely in turns, while messages wait for acknowledgements that never come: after a
/// polite end the server must be gone, whoever had started it.
enum EmbeddedRestarts {
    static func run(cycles: Int, seed: UInt64) async throws -> ProcessFault.Seen {
        var logger = Logger(label: "prove")
        logger.logLevel = .critical
        let simulator = try await WhatsAppSimulator.start(logger: logger)
        let directory = "/tmp/prove-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let watch = try DeathWatch(over: directory)
        let gateway = GatewayProcess(
            binary: World.binary, dataDirectory: directory, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
            settings: GatewayProcess.shortLeases)
        do {
            let seen = try await cycle(gateway, simulator, cycles, seed)
            await simulator.stop()
            await watch.end()
            if seen.isOK { try FileManager.default.removeItem(atPath: directory) } else { say("data and log: \(directory)") }
            return seen
        } catch {
            await gateway.stop()
            await simulator.stop()
            await watch.end()
            say("data and log: \(directory)")
            throw error
        }
    }

    private static func cycle(
        _ gateway: GatewayProcess, _ simulator: WhatsAppSimulator, _ cycles: Int, _ seed: UInt64
    ) async throws -> ProcessFault.Seen {
        let clock = ContinuousClock()
        let key = try await gateway.makeTestKey(account: "Restarts")
        try await gateway.start()
        for label in ["one", "two"] { _ = try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(label) }
        var generator = SplitMix(state: seed)
        var ends: [Duration] = []
        var outlived = 0
        var forced = 0
        for cycle in 0..<cycles {
            if gateway.processID == nil { try await gateway.start() }
            for number in 0..<Int(generator.next() % 6) {
                // Every other one is never acknowledged.
                let recipient = "62811\(10_000 + cycle)\(number % 2 == 0 ? "0007" : "1234")"
                let body: [String: Any] = ["to": "+\(recipient)", "type": "text", "text": ["body": "restart \(cycle) \(number)"]]
                _ = try? await HTTP.request("POST", gateway.baseURL + "/v1/messages", key: key, body: body, timeout: 5)
            }
            try await clock.sleep(for: .milliseconds(Int(generator.next() % 600)))
            if generator.next() % 2 == 0 {
                await gateway.kill()
                continue
            }
            let start = clock.now
            gateway.signal(SIGTERM)
            if try await !gateway.waitForDeath(timeout: .seconds(20)) {
                forced += 1
                await gateway.kill()
            }
            ends.append(clock.now - start)
            // PostgreSQL removes this file as the last thing it does.
            if access(gateway.dataDirectory + "/postgres/postmaster.pid", F_OK) == 0 { outlived += 1 }
        }
        if gateway.processID == nil { try await gateway.start() }
        await gateway.stop()
        return ProcessFault.Seen(
            isOK: outlived == 0 && forced == 0 && !ends.isEmpty,
            what:
                "\(cycles) cycles, \(ends.count) polite ends: gone \(percentiles(ends.sorted())); not within 20 s \(forced), server outlived \(outlived)"
        )
    }
}
