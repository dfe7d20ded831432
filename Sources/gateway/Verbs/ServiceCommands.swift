import ArgumentParser
import Domain
import Foundation

/// `gateway migrate`
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Applies the migrations that are due. Safe on several nodes at once.")
    @OptionGroup var options: Options

    func run() async throws {
        let settings = try options.settings()
        try await Workplace.use(settings, logger: options.logger(settings)) { _ in
            try options.print(["version": Migrations.all.count], "the database is at version \(Migrations.all.map(\.version).max() ?? 0)")
        }
    }
}

/// `gateway config …`
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "config", abstract: "Looks at the configuration.", subcommands: [Check.self])

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Reads file and environment; exit 2 names the line that is wrong.")
        @OptionGroup var options: Options

        func run() async throws {
            let settings = try options.settings()
            try options.print(["status": "ok", "listen": "\(settings.server.host):\(settings.server.port)"], "the configuration is valid")
        }
    }
}

/// `gateway cron …`
struct CronCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "cron", abstract: "Runs scheduled jobs by hand.", subcommands: [Hourly.self])

    struct Hourly: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One run of the hourly job; for systemd timers. Exit 1 when a job failed.")
        @OptionGroup var options: Options

        func run() async throws {
            let settings = try options.settings()
            try await Workplace.use(settings, logger: options.logger(settings)) { workplace in
                let runs = try await workplace.gateway.retention.runHourly(now: Date())
                try options.print(
                    ["data": runs.map(Row.init)],
                    runs.map { "\($0.job.padding(toLength: 22, withPad: " ", startingAt: 0)) \($0.succeeded ? "ok    " : "failed")  \($0.affected)" }
                        .joined(separator: "\n"))
                guard runs.allSatisfy(\.succeeded) else { throw Failure("a job failed; see the log") }
            }
        }

        private struct Row: Encodable {
            var job: String
            var succeeded: Bool
            var affected: Int

            init(_ run: CronRun) {
                job = run.job
                succeeded = run.succeeded
                affected = run.affected
            }
        }
    }
}
