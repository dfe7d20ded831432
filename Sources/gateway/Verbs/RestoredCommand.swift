import ArgumentParser
import Domain
import Foundation

/// `gateway restored`: the step between a restored database and the first start on it.
struct RestoredCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restored", abstract: "After a restore from a backup, before anything serves: forgets what must not go backwards.",
        discussion: """
            A backup holds encryption ratchets as they were. Recipients' devices have moved on since, and using an old key twice would break the \\
            encryption: so every Signal session is forgotten and begun anew with the next message. See /docs/backup-restore.
            """)

    @OptionGroup var options: Options
    @Flag(help: "Messages that wait in the backup are ended instead of sent: they may have been sent after it was made.")
    var endWaiting = false

    private struct Result: Encodable {
        var accounts: Int
        var signalSessions: Int
        var endedMessages: Int

        enum CodingKeys: String, CodingKey {
            case accounts
            case signalSessions = "signal_sessions"
            case endedMessages = "ended_messages"
        }
    }

    func run() async throws {
        let settings = try options.settings()
        try await Workplace.use(settings, logger: options.logger(settings)) { workplace in
            let operations = Operations(database: workplace.operations)
            let nodes = try await operations.figures(now: workplace.clock.now(), deadline: .seconds(60)).nodes
            guard nodes == 0 else { throw Failure("\(nodes) nodes serve this database; stop them first, and wait a minute") }
            let forgotten = try await operations.forgetRatchets(endsWaiting: endWaiting, now: workplace.clock.now())
            try options.print(
                Result(accounts: forgotten.accounts, signalSessions: forgotten.signalSessions, endedMessages: forgotten.messages),
                "forgot \(forgotten.signalSessions) Signal sessions of \(forgotten.accounts) accounts; \(forgotten.messages) waiting messages end")
        }
    }
}
