import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway account …`
struct AccountCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "account", abstract: "Creates, lists and closes accounts.", subcommands: [Create.self, List.self, Close.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "A new account.")
        @OptionGroup var options: Options
        @Argument(help: "Its name, 1 to 80 characters.") var name: String
        @Option(help: "Calling code for national numbers, digits only, such as 62.") var callingCode: String?

        func run() async throws {
            guard (1...80).contains(name.unicodeScalars.count) else { throw ValidationError("the name has 1 to 80 characters") }
            try await Workplace.use(options) { workplace in
                let account = try await workplace.gateway.accounts.create(name: name, defaultCallingCode: callingCode, now: Date())
                try options.print(["id": account.id.description, "name": account.name], account.id.description)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "All accounts, oldest first.")
        @OptionGroup var options: Options

        func run() async throws {
            try await Workplace.use(options) { workplace in
                let accounts = try await workplace.gateway.accounts.list()
                try options.print(
                    ["data": accounts.map { ["id": $0.id.description, "name": $0.name, "state": $0.state.rawValue] }],
                    accounts.map { "\($0.id)  \($0.state.rawValue)  \($0.name)" }.joined(separator: "\n"))
            }
        }
    }

    struct Close: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Closes an account and deletes everything about it. There is no way back.")
        @OptionGroup var options: Options
        @Argument(help: "The account, acc_…") var account: String
        @Option(help: "Seconds to wait for senders to be unlinked from their phones.") var patience = 60

        func run() async throws {
            let id = try Account.ID.parsed(account)
            try await Workplace.use(options) { workplace in
                let receipt = try await workplace.gateway.closing.close(id, patience: Double(patience), now: { Date() })
                guard let receipt else { throw Failure("there is no account \(account)") }
                try options.print(
                    ReceiptJSON(receipt: receipt.id.description, closedAt: Timestamp.text(receipt.completedAt), rows: receipt.counts),
                    "closed; deletion receipt \(receipt.id), \(receipt.counts.values.reduce(0, +)) rows")
            }
        }

        private struct ReceiptJSON: Encodable {
            var receipt: String
            var closedAt: String
            var rows: [String: Int]
        }
    }
}

extension TypedID {
    /// The id, or a usage error that names the expected form.
    static func parsed(_ text: String) throws -> Self {
        do { return try Self(text) } catch { throw ValidationError("\(text) is no id of the form \(Subject.idPrefix)_…") }
    }
}
