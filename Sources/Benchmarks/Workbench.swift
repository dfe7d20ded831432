import Foundation
import Logging
import Postgres
import Proof
import Simulator

/// What all parts share: programs, a folder for everything they write, and how much they do.
struct Workbench {
    let plan: Plan
    let gateway: String
    /// `Scripts/bench.lua`.
    let script: String
    let folder: String
    let logger: Logger
    /// Whether PostgreSQL counts its time by statement; costs a little.
    let countsStatements: Bool

    /// Says on standard error what goes on; the table alone goes to standard output.
    func say(_ text: String) { FileHandle.standardError.write(Data("bench: \(text)\n".utf8)) }

    /// A data directory of its own, that the embedded PostgreSQL's user can enter.
    func makeGateway(_ name: String, simulator: WhatsAppSimulator, settings: [String: String] = [:]) throws -> GatewayProcess {
        let directory = "\(folder)/\(name)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        return GatewayProcess(
            binary: gateway, dataDirectory: directory, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
            settings: ["GATEWAY_DELIVERY_LOGINS_PER_SECOND": "1000", "GATEWAY_LOG_LEVEL": "warning"].merging(plan.preKeySetting) { $1 }
                .merging(settings) { $1 })
    }

    /// Keeps the cluster of a data directory running while `body` runs, over restarts of the gateway.
    func withCluster<Result: Sendable>(_ gateway: GatewayProcess, _ body: (EmbeddedCluster) async throws -> Result) async throws -> Result {
        let cluster = try await EmbeddedCluster.open(
            directory: gateway.dataDirectory, logger: logger,
            settings: countsStatements ? ["shared_preload_libraries": "'pg_stat_statements'", "pg_stat_statements.max": "5000"] : [:])
        do {
            let result = try await body(cluster)
            try await close(cluster)
            return result
        } catch {
            try await close(cluster)
            throw error
        }
    }

    /// Not cancelled with the task that asks for it.
    private func close(_ cluster: EmbeddedCluster) async throws { try await Task { try await cluster.stop() }.value }

    func withSimulator<Result: Sendable>(_ body: (WhatsAppSimulator) async throws -> Result) async throws -> Result {
        let simulator = try await WhatsAppSimulator.start(logger: logger)
        do {
            let result = try await body(simulator)
            await simulator.stop()
            return result
        } catch {
            await simulator.stop()
            throw error
        }
    }
}
