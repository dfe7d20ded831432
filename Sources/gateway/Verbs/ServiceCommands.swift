import ArgumentParser
import Domain
import Foundation
import Web

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

/// `gateway doctor`
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "doctor", abstract: "Checks what the gateway needs; exit 1 when something is wrong.")
    @OptionGroup var options: Options

    func run() async throws {
        let settings = try options.settings()
        var checks: [(name: String, problem: String?)] = [("configuration", nil)]
        do {
            checks += try await Workplace.use(settings, logger: options.logger(settings)) { workplace in
                [
                    ("database, migrations and keys", nil),
                    ("database logins", await Self.problem { _ = try await workplace.gateway.accounts.list() }),
                    ("clock", await Self.problem { try await Self.compareClocks(workplace) }),
                    ("hourly job", await Self.problem { try await Self.checkCron(workplace) }),
                ]
            }
        } catch {
            checks.append(("database, migrations and keys", "\(error)"))
        }
        try options.print(
            ["checks": checks.map { ["check": $0.name, "result": $0.problem ?? "ok"] }],
            checks.map { "\($0.problem == nil ? "ok  " : "FAIL")  \($0.name)\($0.problem.map { ": \($0)" } ?? "")" }.joined(separator: "\n"))
        if checks.contains(where: { $0.problem != nil }) { throw ExitCode.failure }
    }

    private static func problem(_ check: () async throws -> Void) async -> String? {
        do {
            try await check()
            return nil
        } catch { return "\(error)" }
    }

    private static func compareClocks(_ workplace: Workplace) async throws {
        let theirs = try await workplace.owner.queryOne("doctor.clock", "SELECT clock_timestamp() AS now", access: .readOnly) { row in
            try row.column("now", as: Date.self)
        }
        guard let theirs, abs(theirs.timeIntervalSinceNow) < 5 else { throw Failure("this machine and the database differ by more than 5 s") }
    }

    private static func checkCron(_ workplace: Workplace) async throws {
        guard let last = try await workplace.gateway.retention.runs(limit: 1).first else { return }
        guard Date().timeIntervalSince(last.startedAt) < 7_200 else { throw Failure("the last run was at \(Timestamp.text(last.startedAt))") }
        guard last.succeeded else { throw Failure("the last run failed (\(last.errorCode ?? "unknown"))") }
    }
}
