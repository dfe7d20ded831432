import ArgumentParser
import Foundation

/// The command line. Exit codes: 0 done, 1 failed, 2 bad usage or configuration.
@main
enum Main {
    static func main() async {
        do {
            var command = try GatewayCommand.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            LogSink.standardError.drain(within: patience)
        } catch {
            LogSink.standardError.drain(within: patience)
            Foundation.exit(report(error))
        }
    }

    /// For the last log lines, if nobody takes them.
    private static let patience: Duration = .seconds(1)

    private static func report(_ error: any Error) -> Int32 {
        if let failure = error as? Failure {
            write(failure.description, to: .standardError)
            return 1
        }
        if let problem = error as? SettingsProblem {
            write("gateway: \(problem)", to: .standardError)
            return 2
        }
        let code = GatewayCommand.exitCode(for: error)
        let text = GatewayCommand.fullMessage(for: error)
        if !text.isEmpty { write(text, to: code == .success ? .standardOutput : .standardError) }
        return code == .success ? 0 : code == .validationFailure ? 2 : 1
    }

    private static func write(_ text: String, to handle: FileHandle) { handle.write(Data((text + "\n").utf8)) }
}

/// The root of all verbs.
struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway", abstract: "Sends WhatsApp messages for programs, over your own paired senders.",
        subcommands: [
            ServeCommand.self, SandboxCommand.self, MigrateCommand.self, DoctorCommand.self, RestoredCommand.self, ConfigCommand.self,
            CronCommand.self,
            AccountCommand.self, KeyCommand.self, SenderCommand.self, PoolCommand.self, RouteCommand.self, SendCommand.self,
            MessageCommand.self,
        ])
}

/// A verb that could not do its work; the text says what to do.
struct Failure: Error, CustomStringConvertible {
    var description: String

    init(_ text: String) { description = "gateway: \(text)" }
}
