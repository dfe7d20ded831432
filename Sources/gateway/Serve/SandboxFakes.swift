import Alerting
import Fakes

/// Telegram and Resend as the sandbox plays them, for who has named no bot and no key of his own.
struct SandboxFakes: Sendable {
    var telegram: FakeTelegram?
    var resend: FakeResend?

    /// Starts those that are needed and names them in the settings.
    static func start(for settings: inout Settings) async throws -> SandboxFakes {
        var fakes = SandboxFakes()
        if settings.alerts.telegram == nil {
            let telegram = try await FakeTelegram.start()
            guard let token = TelegramToken(telegram.token) else { throw Failure("the sandbox's bot has no token") }
            settings.alerts.telegram = Settings.Alerts.Telegram(token: token, endpoint: try AlertEndpoint(telegram.url), webhook: nil)
            fakes.telegram = telegram
        }
        if settings.alerts.resend == nil {
            let resend = try await FakeResend.start()
            guard let key = ResendKey(resend.key) else { throw Failure("the sandbox's Resend has no key") }
            settings.alerts.resend = Settings.Alerts.Resend(
                key: key, endpoint: try AlertEndpoint(resend.url), from: "Sandbox <alerts@sandbox.example>", requestsPerSecond: 2, webhookSecret: nil)
            fakes.resend = resend
        }
        return fakes
    }

    func stop() async {
        await telegram?.stop()
        await resend?.stop()
    }
}
