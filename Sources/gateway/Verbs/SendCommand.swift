import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway send`
struct SendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "send", abstract: "Accepts one message, as POST /v1/messages does.")
    @OptionGroup var options: Options
    @OptionGroup var route: RouteOptions
    @Option(help: "Not before this RFC 3339 time, at most 30 days ahead.") var sendAt: String?
    @Option(help: "Seconds, 30 to 604800: not put on the wire later than this after --send-at, or after now.") var ttl: Int?
    @Flag(help: "Fail rather than wait for a sender.") var failFast = false
    @Flag(help: "Never write it again once its bytes may have left.") var atMostOnce = false
    @Option(help: "default or none: how long the text is kept.") var store: String?
    @Option(help: "A name of your own for what it is about.") var reference: String?
    @Option(help: "A name for the request: the same name and text are accepted once.") var idempotencyKey: String?
    @Argument(help: "The text.") var text: String

    func run() async throws {
        let account = try Account.ID.parsed(route.account)
        let key: IdempotencyKey?
        do { key = try idempotencyKey.map { text throws(InvalidMessage.Code) in try IdempotencyKey(text) } } catch {
            throw ValidationError("the idempotency key has 1 to 255 printable ASCII characters")
        }
        let time = try sendAt.map { text in
            guard let time = Timestamp.parse(text) else { throw ValidationError("--send-at takes an RFC 3339 time such as 2026-11-21T08:00:00Z") }
            return time
        }
        let message = try route.message(
            text, sendAt: time, ttl: ttl, failFast: failFast, atMostOnce: atMostOnce, store: store, reference: reference)
        try await Workplace.use(options) { workplace in
            do {
                let accepted = try await workplace.gateway.messages.accept(
                    message, caller: Caller(account: account, isTest: route.test), idempotencyKey: key, now: Date())
                try options.print(
                    ["id": accepted.message.id.description, "status": accepted.message.status.rawValue],
                    "\(accepted.message.id)  \(accepted.message.status.rawValue)\(accepted.replayed ? "  (accepted before)" : "")")
            } catch let failure as AcceptFailure {
                throw Failure("\(failure.code.rawValue): \(failure.detail)")
            } catch let late as InvalidMessage {
                throw ValidationError(RouteOptions.text(late))
            }
        }
    }
}

/// Whom a message goes to and over what; shared by `send` and `route explain`.
struct RouteOptions: ParsableArguments {
    @Option(help: "The account, acc_…") var account: String
    @Option(help: "The recipient in E.164, +628…") var to: String
    @Option(help: "Over this sender, snd_…") var sender: String?
    @Option(help: "Over this pool, pool_…; without --sender and --pool the account's default pool.") var pool: String?
    @Option(help: "Instead of the pool's own policy: sticky, round_robin, weighted, least_busy, priority, random or prefix.") var policy: String?
    @Option(help: "high, normal or low.") var priority: String?
    @Flag(help: "Over test senders, in the sandbox.") var test = false

    /// - Throws: `ValidationError` naming every option that is not allowed.
    func message(
        _ text: String, sendAt: Date? = nil, ttl: Int? = nil, failFast: Bool = false, atMostOnce: Bool = false, store: String? = nil,
        reference: String? = nil
    ) throws -> SendMessage {
        do {
            return try SendMessage(
                to: to, body: text, sender: sender, pool: pool, policy: policy, priority: priority, sendAt: sendAt, ttl: ttl, failFast: failFast,
                atMostOnce: atMostOnce, store: store, reference: reference, now: Date())
        } catch {
            throw ValidationError(Self.text(error))
        }
    }

    static func text(_ invalid: InvalidMessage) -> String { invalid.problems.map { "\($0.pointer): \($0.detail)" }.joined(separator: "\n") }
}
