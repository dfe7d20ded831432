import Alerting
import Foundation

extension Settings {
    /// `[alerts]` and its sections. Secrets are read here, once, from files that nobody else may read.
    static func alerts(_ reader: inout SettingsReader, publicURL: String) throws -> Alerts {
        Alerts(
            operatorAccount: try reader.accountID("alerts.operator_account"), includesTest: try reader.bool("alerts.include_test", default: false),
            telegram: try telegram(&reader, publicURL: publicURL), resend: try resend(&reader))
    }

    private static func telegram(_ reader: inout SettingsReader, publicURL: String) throws -> Alerts.Telegram? {
        let text = try reader.secretFile("alerts.telegram.token_file")
        let endpoint = try reader.alertEndpoint("alerts.telegram.base_url", default: "https://api.telegram.org")
        let isWebhook = try reader.choice("alerts.telegram.mode", default: "poll", of: ["poll", "webhook"]) == "webhook"
        let secret = try reader.secretFile("alerts.telegram.webhook_secret_file")
        guard let text else { return nil }
        guard let token = TelegramToken(text) else {
            throw reader.problem("alerts.telegram.token_file", "names a file that holds no bot token (123456:letters)")
        }
        guard isWebhook else { return Alerts.Telegram(token: token, endpoint: endpoint, webhook: nil) }
        guard let secret else { throw reader.problem("alerts.telegram.webhook_secret_file", "is needed for the mode webhook") }
        guard let webhook = TelegramWebhook(url: publicURL + "/hooks/telegram", secret: secret) else {
            throw reader.problem("alerts.telegram.webhook_secret_file", "names a file that does not hold 16 to 256 of A-Z a-z 0-9 _ -")
        }
        return Alerts.Telegram(token: token, endpoint: endpoint, webhook: webhook)
    }

    private static func resend(_ reader: inout SettingsReader) throws -> Alerts.Resend? {
        let text = try reader.secretFile("alerts.resend.api_key_file")
        let endpoint = try reader.alertEndpoint("alerts.resend.base_url", default: "https://api.resend.com")
        let from = try reader.string("alerts.resend.from", default: "")
        let rate = try reader.integer("alerts.resend.requests_per_second", default: 2, in: 1...1_000)
        let secret = try reader.secretFile("alerts.resend.webhook_secret_file")
        guard let text else { return nil }
        guard let key = ResendKey(text) else { throw reader.problem("alerts.resend.api_key_file", "names a file that holds no API key (re_…)") }
        guard from.wholeMatch(of: /([^<>@\n\r]+ <)?[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+>?/) != nil, from.contains("<") == from.hasSuffix(">") else {
            throw reader.problem("alerts.resend.from", "must be an address, or Name <address>")
        }
        let signing = secret?.trimmingCharacters(in: .whitespacesAndNewlines)
        guard signing.map({ $0.hasPrefix("whsec_") && Data(base64Encoded: String($0.dropFirst(6))) != nil }) ?? true else {
            throw reader.problem("alerts.resend.webhook_secret_file", "names a file that holds no signing secret (whsec_…)")
        }
        return Alerts.Resend(key: key, endpoint: endpoint, from: from, requestsPerSecond: rate, webhookSecret: signing)
    }
}
