import ArgumentParser
import Foundation
import Logging
import Primitives
import Proof
import Simulator

/// `prove kill-matrix`: a real gateway is killed with SIGKILL while it sends, and started again; the simulator's recipients say what they saw.
///
/// Every text carries a nonce. A nonce must be shown exactly once on each of its recipient's devices, over all message ids and senders.
struct KillMatrix: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill-matrix", abstract: "kill -9 of the gateway while it sends, checked at the recipients.")

    @Option(help: "Random kills while messages are being sent.")
    var kills = 50
    @Option(help: "Messages sent meanwhile.")
    var messages = 200
    @Option(help: "Seed of the moments of the kills.")
    var seed: UInt64 = 1
    @Option(help: "A deliberate mistake, which must make the run fail: fresh-ids.")
    var sabotage: String?
    @Flag(help: "Only the run itself, without the sabotaged one that must be noticed.")
    var single = false

    func run() async throws {
        let result = try await matrix(kills: kills, messages: messages, sabotage: sabotage)
        print(result.table)
        fflush(nil)
        guard sabotage == nil, !single else {
            if !result.isClean { throw ExitCode.failure }
            return
        }
        print("\nsabotage fresh-ids (a resend takes a new id; this must be noticed):")
        let broken = try await matrix(kills: min(kills, 3), messages: min(messages, 12), sabotage: Sabotage.freshIDs.rawValue)
        print(broken.table)
        print(broken.isClean ? "sabotage NOT noticed" : "sabotage noticed")
        if !result.isClean || broken.isClean { throw ExitCode.failure }
    }

    /// What the recipients saw.
    struct Result {
        var title: String
        var accepted = 0
        var kills = 0
        var shownOnce = 0
        var lost: [String] = []
        var shownTwice: [String] = []
        var unexpected = 0
        var unsettled: [String] = []

        var isClean: Bool { lost.isEmpty && shownTwice.isEmpty && unexpected == 0 && unsettled.isEmpty && shownOnce > 0 }

        var table: String {
            """
            \(title)
              accepted            \(accepted)
              kill -9             \(kills)
              (device, nonce) ok  \(shownOnce)
              lost                \(lost.count) \(lost.prefix(3).joined(separator: " "))
              shown twice         \(shownTwice.count) \(shownTwice.prefix(3).joined(separator: " "))
              unexpected          \(unexpected)
              not settled         \(unsettled.count) \(unsettled.prefix(3).joined(separator: " "))
            """
        }
    }

    private func matrix(kills: Int, messages: Int, sabotage: String?) async throws -> Result {
        var logger = Logger(label: "prove")
        logger.logLevel = .error
        let simulator = try await WhatsAppSimulator.start(logger: logger)
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("kill-matrix-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let binary = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("gateway").path
        let gateway = GatewayProcess(
            binary: binary, dataDirectory: directory, port: try LoopbackPort.free(), simulator: simulator.webSocketURL,
            settings: GatewayProcess.shortLeases)
        var campaign = Campaign(gateway: gateway, simulator: simulator, sabotage: sabotage, seed: seed)
        do {
            let result = try await campaign.run(kills: kills, messages: messages)
            await gateway.stop()
            await simulator.stop()
            if result.isClean { try FileManager.default.removeItem(atPath: directory) } else { print("data and log: \(directory)") }
            return result
        } catch {
            await gateway.kill()
            await simulator.stop()
            print("data and log: \(directory)")
            throw error
        }
    }
}
