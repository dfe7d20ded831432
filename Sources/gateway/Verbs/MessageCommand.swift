import API
import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway message …`
struct MessageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "message", abstract: "Looks at messages and withdraws them.", subcommands: [Show.self, Cancel.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One message: its state, its route and its timeline.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The message, msg_…") var message: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Message.ID.parsed(message)
            try await Workplace.use(options) { workplace in
                guard let message = try await workplace.gateway.messages.find(id, account: account),
                    let events = try await workplace.gateway.messages.events(id, account: account)
                else { throw Failure("there is no message \(id)") }
                let attempts = try await workplace.gateway.messages.attempts(id, account: account) ?? []
                let timeline = events.map { Line(sequence: $0.number, status: $0.kind.rawValue, at: Timestamp.text($0.at)) }
                try options.print(
                    Shown(
                        id: id.description, status: message.status.rawValue, route: message.route.reason, failure: message.failure?.code.rawValue,
                        events: timeline, attempts: attempts.map(AttemptJSON.init)),
                    """
                    \(id)  \(message.status.rawValue)\(message.failure.map { " (\($0.code.rawValue): \($0.advice))" } ?? "")
                    route   \(message.route.policy.rawValue): \(message.route.reason); sender \(message.sender?.label ?? "none")
                    \(timeline.map { "\($0.sequence)  \($0.at)  \($0.status)" }.joined(separator: "\n"))
                    \(attempts.map(Self.line).joined(separator: "\n"))
                    """)
            }
        }

        private static func line(_ attempt: MessageAttempt) -> String {
            let times: [(String, Int?)] = [
                ("queue", attempt.queue), ("resolve", attempt.resolve), ("encrypt", attempt.encrypt), ("commit", attempt.commit),
                ("ack", attempt.acknowledgement), ("receipt", attempt.receipt),
            ]
            let known = times.compactMap { name, value in value.map { "\(name) \($0) ms" } }
            return "attempt \(attempt.number)  \(attempt.outcome.rawValue)  \(known.joined(separator: ", "))"
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
            var attempts: [AttemptJSON]
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Withdraws a message: exit 0 means that the recipient will not get it.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The message, msg_…") var message: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Message.ID.parsed(message)
            try await Workplace.use(options) { workplace in
                switch try await workplace.gateway.messages.cancel(id, account: account, now: Date()) {
                case .canceled: try options.print(["id": id.description, "status": MessageStatus.canceled.rawValue], "canceled")
                case .refused(let message): throw Failure("the message cannot be canceled any more: it is \(message.status.rawValue)")
                case nil: throw Failure("there is no message \(id)")
                }
            }
        }
    }
}
