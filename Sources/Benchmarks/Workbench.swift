import Foundation
import Glibc
import Logging
import Postgres
import Simulator

/// What all parts share: programs, a folder for everything they write, and how much they do.
struct Workbench {
    let plan: Plan
    let gateway: String
    /// `Scripts/bench.lua`.
    let script: String
    let folder: String
    let logger: Logger

    /// Says on standard error what goes on; the table alone goes to standard output.
    func say(_ text: String) { FileHandle.standardError.write(Data("bench: \(text)\n".utf8)) }

    /// A data directory of its own, that the embedded PostgreSQL's user can enter.
    func makeGateway(_ name: String, simulator: WhatsAppSimulator, settings: [String: String] = [:]) throws -> GatewayProcess {
        let directory = "\(folder)/\(name)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        return GatewayProcess(
            binary: gateway, dataDirectory: directory, port: try Self.freePort(), simulator: simulator,
            settings: settings.merging(plan.preKeySetting) { $1 })
    }

    /// Keeps the cluster of a data directory running while `body` runs, over restarts of the gateway.
    func withCluster<Result: Sendable>(_ gateway: GatewayProcess, _ body: (EmbeddedCluster) async throws -> Result) async throws -> Result {
        let cluster = try await EmbeddedCluster.open(directory: gateway.dataDirectory, logger: logger)
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

    /// A loopback port that is free now.
    static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw BenchmarkFailure("no socket") }
        defer { Glibc.close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 ? getsockname(descriptor, generic, &length) : -1
            }
        }
        guard code == 0 else { throw BenchmarkFailure("no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

extension GatewayProcess {
    init(binary: String, dataDirectory: String, port: Int, simulator: WhatsAppSimulator, settings: [String: String]) {
        self.init(binary: binary, dataDirectory: dataDirectory, port: port, endpoint: simulator.webSocketURL, settings: settings)
    }
}
