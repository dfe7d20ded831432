import ArgumentParser
import Fakes
import Foundation

/// `prove fake-telegram`: Telegram's Bot API on this machine, for a gateway that is tried out without a bot.
struct FakeTelegramCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fake-telegram", abstract: "Plays Telegram's Bot API until Ctrl-C, for a gateway that is tried out without a bot.",
        discussion: """
            People in chats are played with curl: POST /control/say {"chat": 42, "text": "/start …"}, GET /control/messages?chat=42, \
            POST /control/press {"chat": 42, "message": 7, "button": 1}. What the documentation of the Bot API does not allow is listed at \
            GET /control/complaints.
            """)

    @Option(help: "The port; 0 takes a free one.")
    var port = 8081

    func run() async throws {
        let telegram = try await FakeTelegram.start(port: port)
        say(
            """
            alerts.telegram.base_url = "\(telegram.url)"
            alerts.telegram.token_file: a file with mode 0600 that holds \(telegram.token)
            """)
        for await call in telegram.stream where call.method != "getUpdates" { say("\(call.method)  \(call.text)") }
    }
}

/// `prove fake-resend`: Resend's API on this machine.
struct FakeResendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fake-resend", abstract: "Plays Resend's API until Ctrl-C; GET /control/mails shows what was sent.")

    @Option(help: "The port; 0 takes a free one.")
    var port = 8082

    func run() async throws {
        let resend = try await FakeResend.start(port: port)
        say(
            """
            alerts.resend.base_url = "\(resend.url)"
            alerts.resend.api_key_file: a file with mode 0600 that holds \(resend.key)
            """)
        while true { try await ContinuousClock().sleep(for: .seconds(3_600)) }
    }
}
