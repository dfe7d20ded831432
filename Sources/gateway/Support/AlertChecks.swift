import Alerting
import Domain
import Foundation
import OutboundHTTP
import Postgres

/// What `gateway doctor` asks about alerts: the bot, the key for e-mail, and whether anybody hears of what concerns the whole gateway.
struct AlertChecks: Sendable {
    let settings: Settings.Alerts
    /// For one question.
    var patience: Duration = .seconds(20)

    /// Needs no network.
    func operatorAccount(_ gateway: Gateway) async -> HealthCheck {
        let name = "operator"
        do {
            guard let account = try await gateway.alerts.operatorAccount(settings.operatorAccount) else {
                return .warning(
                    name, "nobody hears of what concerns the whole gateway, such as a late hourly job",
                    "set alerts.operator_account to an account's id (gateway account list)")
            }
            let active = try await gateway.alerts.channels(account).filter { $0.state == .active }
            guard !active.isEmpty else {
                return .warning(
                    name, "it has no channel that takes alerts", "link a Telegram chat or verify an e-mail address; see /docs/guides/operators")
            }
            return .ok(name, "\(active.count) channels take its alerts")
        } catch {
            return .failed(name, "\(error)", "does alerts.operator_account exist? see gateway account list")
        }
    }

    /// Asks Telegram and Resend themselves. Nothing is sent to anybody.
    func reach() async -> [HealthCheck] { [await telegram(), await resend()] }

    static let names = ["telegram", "resend"]

    private func telegram() async -> HealthCheck {
        guard let settings = settings.telegram else { return .skipped("telegram", "there is no bot: alerts.telegram.token_file is empty") }
        return await withClient(settings.endpoint, "telegram") { http in
            do throws(TelegramFailure) {
                let bot = try await TelegramBot(token: settings.token, endpoint: settings.endpoint, http: http, deadline: patience).me()
                return .ok("telegram", "\(settings.endpoint.base) knows the bot @\(bot.username ?? "")")
            } catch {
                return .failed(
                    "telegram", "\(settings.endpoint.base): \(error.code)",
                    error == .unauthorized ? "take a new token from BotFather" : "let this machine reach \(settings.endpoint.base)")
            }
        }
    }

    private func resend() async -> HealthCheck {
        guard let settings = settings.resend else { return .skipped("resend", "there is no e-mail: alerts.resend.api_key_file is empty") }
        return await withClient(settings.endpoint, "resend") { http in
            do throws(ResendFailure) {
                try await ResendClient(key: settings.key, endpoint: settings.endpoint, http: http, deadline: patience).check()
                return .ok("resend", "\(settings.endpoint.base) takes the key")
            } catch {
                return .failed(
                    "resend", "\(settings.endpoint.base): \(error.code)",
                    error == .unauthorized ? "make a new API key at Resend" : "let this machine reach \(settings.endpoint.base)")
            }
        }
    }

    private func withClient(_ endpoint: AlertEndpoint, _ name: String, _ body: (HTTPClient) async -> HealthCheck) async -> HealthCheck {
        do {
            var configuration = HTTPClient.Configuration(policy: endpoint.policy, userAgent: "gateway-doctor")
            configuration.connectDeadline = patience
            let http = try HTTPClient(configuration)
            let check = await body(http)
            await http.close(within: .zero)
            return check
        } catch {
            return .failed(name, "\(error)", "this is a mistake of the gateway's; report it")
        }
    }
}
