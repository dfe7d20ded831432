import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway message …`
struct MessageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "message", abstract: "Looks at messages.", subcommands: [Show.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One message: its state, its route and its timeline.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The message, msg_…") var message: String

        func run() async throws {
            let settings = try options.settings()
            let account = try Account.ID.parsed(account)
            let id = try Message.ID.parsed(message)
            try await Workplace.use(settings, logger: options.logger(settings)) { workplace in
                guard let message = try await workplace.gateway.messages.find(id, account: account),
                    let events = try await workplace.gateway.messages.events(id, account: account)
                else { throw Failure("there is no message \(id)") }
                let timeline = events.map { Line(sequence: $0.number, status: $0.kind.rawValue, at: Timestamp.text($0.at)) }
                try options.print(
                    Shown(
                        id: id.description, status: message.status.rawValue, route: message.route.reason, failure: message.failure?.code.rawValue,
                        events: timeline),
                    """
                    \(id)  \(message.status.rawValue)\(message.failure.map { " (\($0.code.rawValue): \($0.advice))" } ?? "")
                    route   \(message.route.policy.rawValue): \(message.route.reason); sender \(message.sender?.label ?? "none")
                    \(timeline.map { "\($0.sequence)  \($0.at)  \($0.status)" }.joined(separator: "\n"))
                    """)
            }
        }

        private struct Line: Encodable {
            var sequence: Int
            var status: String
            var at: String
        }

        private struct Shown: Encodable {
            var id: String
            var status: String
            var route: String
            var failure: String?
            var events: [Line]
        }
    }
}
