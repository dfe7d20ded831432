import ArgumentParser
import Domain
import Foundation
import Web

/// `gateway send`
struct SendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "send", abstract: "Accepts one message, as POST /v1/messages does.")
    @OptionGroup var options: Options
    @Option(help: "The account, acc_…") var account: String
    @Option(help: "The recipient in E.164, +628…") var to: String
    @Option(help: "Send over this sender, snd_…") var sender: String?
    @Flag(help: "Over test senders, in the sandbox.") var test = false
    @Option(help: "A name for the request: the same name and text are accepted once.") var idempotencyKey: String?
    @Argument(help: "The text.") var text: String

    func run() async throws {
        let settings = try options.settings()
        let account = try Account.ID.parsed(account)
        let key: IdempotencyKey?
        do { key = try idempotencyKey.map { text throws(InvalidMessage.Code) in try IdempotencyKey(text) } } catch {
            throw ValidationError("the idempotency key has 1 to 255 printable ASCII characters")
        }
        let message: SendMessage
        do { message = try SendMessage(to: to, body: text, sender: sender, now: Date()) } catch {
            throw ValidationError(error.problems.map { "\($0.pointer): \($0.detail)" }.joined(separator: "\n"))
        }
        try await Workplace.use(settings, logger: options.logger(settings)) { workplace in
            do {
                let accepted = try await workplace.gateway.messages.accept(
                    message, caller: Caller(account: account, isTest: test), idempotencyKey: key, now: Date())
                try options.print(
                    ["id": accepted.message.id.description, "status": accepted.message.status.rawValue],
                    "\(accepted.message.id)  \(accepted.message.status.rawValue)\(accepted.replayed ? "  (accepted before)" : "")")
            } catch let failure as AcceptFailure {
                throw Failure("\(failure.code.rawValue): \(failure.detail)")
            }
        }
    }
}
