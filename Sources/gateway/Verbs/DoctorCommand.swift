import ArgumentParser
import Foundation
import UnixSignals

/// `gateway doctor`: looks at everything the gateway needs and changes nothing.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Looks at everything the gateway needs: database, clock, keys, egress, queue, hourly job.",
        discussion: """
            Changes nothing and applies no migration. Exit code 0: nothing failed, though there may be warnings; 1: something failed; 2: bad usage or \
            configuration.
            """)

    @OptionGroup var options: Options
    @Option(help: "What to reach for the checks of DNS and egress, an https:// or http:// URL; default: the host of whatsapp.endpoint.")
    var target: String?
    @Flag(help: "Leave out the checks of DNS and egress.")
    var offline = false

    private struct Report: Encodable {
        var status: HealthCheck.Result
        var version: String
        var checks: [HealthCheck]
    }

    func run() async throws {
        let settings = try options.settings()
        let doctor = Doctor(
            settings: settings, logger: options.logger(settings), egress: offline ? nil : try EgressCheck(target: target, settings: settings))
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let checks = try await doctor.examine(until: signals)
        let status = HealthCheck.worst(checks)
        try options.print(
            Report(status: status, version: Release.version, checks: checks), checks.map(Self.line).joined(separator: "\n") + "\n\(status.rawValue)")
        if status == .failed { throw ExitCode.failure }
    }

    /// `failed  partitions      messages has partitions …` and, beneath, what to do.
    private static func line(_ check: HealthCheck) -> String {
        let head =
            check.result.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0) + check.check.padding(toLength: 16, withPad: " ", startingAt: 0)
        return head + check.detail + (check.advice.isEmpty ? "" : "\n" + String(repeating: " ", count: 24) + "→ " + check.advice)
    }
}
