import API
import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway route …`
struct RouteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "route", abstract: "Explains how messages find their sender.", subcommands: [Explain.self])

    struct Explain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Which sender a message would get, and why not the others. Sends nothing.",
            discussion: "The same decision over the same data as POST /v1/messages/explain.")
        @OptionGroup var options: Options
        @OptionGroup var route: RouteOptions
        @Flag(help: "Ask who may send this very moment.") var failFast = false

        func run() async throws {
            let account = try Account.ID.parsed(route.account)
            // The decision does not depend on the text.
            let message = try route.message("-", failFast: failFast)
            try await Workplace.use(options) { workplace in
                let caller = Caller(account: account, isTest: route.test)
                let decision = try await workplace.gateway.messages.explain(message, caller: caller, now: Date())
                let senders = decision.considered.map { sender in
                    let time = sender.availableAt.map { " from \(Timestamp.text($0))" } ?? ""
                    return "\(sender.isChosen ? "→" : " ") \(sender.sender)  \(sender.code)  \(sender.label): \(sender.sentence)\(time)"
                }
                try options.print(
                    ExplanationJSON(decision, caller),
                    """
                    \(decision.sender.map { "\($0)  \(decision.label)" } ?? "nobody")
                    policy  \(decision.policy.rawValue): \(decision.reason)
                    leaves  \(decision.estimatedSendAt.map(Timestamp.text) ?? "nobody knows when")\(decision.limitedBy.map { " (\($0.rawValue))" } ?? "")
                    \(senders.joined(separator: "\n"))
                    """)
                if decision.failure != nil { throw ExitCode.failure }
            }
        }
    }
}
