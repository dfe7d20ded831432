import API
import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway sender …`
struct SenderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sender", abstract: "Pairs, lists, shows, limits, resumes and removes senders.",
        subcommands: [Pair.self, List.self, Show.self, Limits.self, Resume.self, Remove.self])

    struct Pair: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Links a phone: draws its QR code until it is scanned.",
            discussion: "A running `gateway serve` holds the connection; this verb asks it for the pairing and shows the codes.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Option(help: "A name for a new sender.") var label = "Sender"
        @Option(help: "Pair this existing sender instead, snd_…") var sender: String?
        @Flag(help: "A test sender, for the sandbox.") var test = false

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let existing = try sender.map { try Sender.ID.parsed($0) }
            try await Workplace.use(options) { workplace in
                let gateway = workplace.gateway
                let id =
                    if let existing { existing } else {
                        try await gateway.senders.create(account: account, label: label, test: test, now: Date()).id
                    }
                guard try await gateway.pairing.request(sender: id, account: account, now: Date()) != nil else {
                    throw Failure("sender \(id) is not there, or paired already")
                }
                if !options.json { print("sender \(id): waiting for a running gateway to offer a code …") }
                try await follow(id, account, gateway)
            }
        }

        private func follow(_ id: Sender.ID, _ account: Account.ID, _ gateway: Gateway) async throws {
            var shown = ""
            while true {
                guard let sender = try await gateway.senders.get(id, account: account) else { throw Failure("the sender was removed meanwhile") }
                if sender.state == .ready {
                    return try options.print(["id": id.description, "state": "ready"], "paired: \(id) is ready")
                }
                let pairing = try await gateway.pairing.current(sender: id, account: account, now: Date())
                if pairing == nil && sender.pairedAt == nil {
                    throw Failure("the pairing ended (\(sender.stateCode ?? "no code was scanned")); run the verb again")
                }
                if let text = pairing?.code?.text, text != shown, let code = QRCode(text) {
                    shown = text
                    if options.json {
                        try options.print(["id": id.description, "qr": text], "")
                    } else {
                        print("\n\(code.terminal)\n\nWhatsApp on the phone: Linked devices → Link a device. The code changes.")
                    }
                }
                try await ContinuousClock().sleep(for: .milliseconds(500))
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The account's senders, oldest first.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            try await Workplace.use(options) { workplace in
                let senders = try await workplace.gateway.senders.list(account)
                try options.print(
                    ["data": senders.map(SenderCommand.fields)],
                    senders.map { "\($0.id)  \($0.state.rawValue)  \($0.label)\($0.isTest ? "  (test)" : "")" }.joined(separator: "\n"))
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One sender: its state, and what to do about it.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The sender, snd_…") var sender: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Sender.ID.parsed(sender)
            try await Workplace.use(options) { workplace in
                guard let sender = try await workplace.gateway.senders.get(id, account: account) else { throw Failure("there is no sender \(id)") }
                let condition = sender.condition(at: Date())
                try options.print(
                    SenderCommand.fields(sender),
                    """
                    \(sender.id)  \(sender.label)\(sender.isTest ? "  (test)" : "")
                    number  \(sender.number?.text ?? "not known yet")
                    state   \(sender.state.rawValue) since \(Timestamp.text(sender.stateSince))
                    fares   \(condition.code.rawValue)\(condition.until.map { " until \(Timestamp.text($0))" } ?? ""): \(condition.sentence)
                    next    \(condition.wayOut)
                    """)
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Unlinks a sender from its phone and destroys its credentials.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The sender, snd_…") var sender: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Sender.ID.parsed(sender)
            try await Workplace.use(options) { workplace in
                guard let state = try await workplace.gateway.senders.remove(id, account: account, now: Date()) else {
                    throw Failure("there is no sender \(id)")
                }
                try options.print(["id": id.description, "state": state.rawValue], state.sentence)
            }
        }
    }

    struct Limits: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows a sender's limits and what it has used, or sets them.",
            discussion: "With --limit or --reset all limits of the sender are replaced; what is not named has its default again.")
        @OptionGroup var options: Options
        @OptionGroup var limits: LimitOptions
        @Option(help: "The account, acc_…") var account: String
        @Flag(help: "Back to the defaults.") var reset = false
        @Argument(help: "The sender, snd_…") var sender: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Sender.ID.parsed(sender)
            let shape = reset ? SendingLimits.Shape() : try limits.shape()
            try await Workplace.use(options) { workplace in
                let gateway = workplace.gateway
                let found: Sender?
                do {
                    found =
                        if let shape {
                            try await gateway.senders.update(id, account: account, limits: shape, now: Date())
                        } else { try await gateway.senders.get(id, account: account) }
                } catch let invalid as InvalidLimits {
                    throw ValidationError(LimitOptions.text(invalid.problems))
                }
                guard let sender = found else { throw Failure("there is no sender \(id)") }
                let candidate = try await gateway.routing.snapshot(of: account).candidate(id)
                let shown = SenderJSON(sender, usage: candidate.map { UsageJSON($0, now: Date()) }, now: Date())
                try options.print(shown, LimitOptions.lines(sender.limits, candidate))
            }
        }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lets a sender that is parked or replaced connect again.")
        @OptionGroup var options: Options
        @Option(help: "The account, acc_…") var account: String
        @Argument(help: "The sender, snd_…") var sender: String

        func run() async throws {
            let account = try Account.ID.parsed(account)
            let id = try Sender.ID.parsed(sender)
            try await Workplace.use(options) { workplace in
                guard let state = try await workplace.gateway.senders.resume(id, account: account, now: Date()) else {
                    throw Failure("there is no sender \(id)")
                }
                guard state == .connecting || state == .ready else {
                    throw Failure("only a sender that is parked or replaced can be resumed; this one is \(state.rawValue)")
                }
                try options.print(["id": id.description, "state": state.rawValue], state.sentence)
            }
        }
    }

    private static func fields(_ sender: Sender) -> [String: String] {
        [
            "id": sender.id.description, "label": sender.label, "state": sender.state.rawValue, "kind": sender.isTest ? "test" : "live",
            "number": sender.number?.text ?? "", "code": sender.stateCode ?? "", "condition": sender.condition(at: Date()).code.rawValue,
        ]
    }
}
