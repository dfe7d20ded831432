import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway key …`
struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Creates, lists and revokes API keys.", subcommands: [Create.self, List.self, Revoke.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "A new API key. Its secret is shown this once.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Option(help: "What it is for.") var label: String
        @Flag(help: "A key for the sandbox; it never reaches WhatsApp.") var test = false
        @Option(help: "send, read, manage; comma separated.") var scopes = "send,read,manage"

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let parsed = scopes.split(separator: ",").map { APIKey.Scope(rawValue: String($0)) }
            guard !parsed.isEmpty, !parsed.contains(nil) else { throw ValidationError("--scopes takes send, read and manage") }
            try await Workplace.use(options) { workplace in
                guard try await workplace.gateway.accounts.find(account) != nil else { throw Failure("there is no account \(account)") }
                let created = try await workplace.gateway.apiKeys.create(
                    account: account, label: label, test: test, scopes: Set(parsed.compactMap { $0 }), now: Date())
                try options.print(
                    ["id": created.key.id.description, "secret": created.secret], "\(created.key.id)\n\(created.secret)\n(shown this once)")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The account's keys, newest first; never their secrets.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            try await Workplace.use(options) { workplace in
                let keys = try await workplace.gateway.apiKeys.list(account)
                let rows = keys.map { key in
                    [
                        "id": key.id.description, "label": key.label, "kind": key.isTest ? "test" : "live",
                        "state": key.revokedAt == nil ? "active" : "revoked", "last_used": key.lastUsedAt.map(Timestamp.text) ?? "never",
                    ]
                }
                try options.print(
                    ["data": rows],
                    keys.map { "\($0.id)  \($0.isTest ? "test" : "live")  \($0.revokedAt == nil ? "active " : "revoked")  \($0.label)" }
                        .joined(separator: "\n"))
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revokes a key: every node refuses it within five seconds.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The key's id, key_…") var key: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let key = try APIKey.ID.parsed(key)
            try await Workplace.use(options) { workplace in
                guard try await workplace.gateway.apiKeys.revoke(key, account: account, now: Date()) else {
                    throw Failure("there is no active key \(key) in this account")
                }
                try options.print(["revoked": key.description], "revoked")
            }
        }
    }
}
