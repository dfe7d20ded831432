import Alerting
import OutboundHTTP

/// What talks to Telegram and Resend, made from the settings: each its own client, which reaches nothing but what the operator named.
struct AlertingParts: Sendable {
    let telegram: AlertingService.Telegram?
    let resend: AlertingService.Resend?
    /// What Resend's webhook signs with.
    let resendSecret: String?
    let clients: [HTTPClient]

    init(_ settings: Settings, observation: Observation) throws {
        var clients: [HTTPClient] = []
        func client(_ purpose: String, _ endpoint: AlertEndpoint) throws -> HTTPClient {
            var configuration = HTTPClient.Configuration(policy: endpoint.policy, userAgent: "gateway-alerts/1")
            // One of them may wait for updates.
            configuration.runningPerHost = 16
            configuration.finished = observation.measurements.outbound(purpose)
            let client = try HTTPClient(configuration)
            observation.watch(client, purpose: purpose)
            clients.append(client)
            return client
        }
        telegram = try settings.alerts.telegram.map { settings in
            let bot = TelegramBot(token: settings.token, endpoint: settings.endpoint, http: try client("telegram", settings.endpoint))
            return AlertingService.Telegram(desk: TelegramDesk(bot: bot), webhook: settings.webhook)
        }
        resend = try settings.alerts.resend.map { settings in
            AlertingService.Resend(
                client: ResendClient(key: settings.key, endpoint: settings.endpoint, http: try client("resend", settings.endpoint)),
                pace: ResendPace(perSecond: settings.requestsPerSecond), from: settings.from)
        }
        resendSecret = settings.alerts.resend?.webhookSecret
        self.clients = clients
    }

    func configuration(_ settings: Settings, node: String) -> AlertingService.Configuration {
        AlertingService.Configuration(
            telegram: telegram, resend: resend, publicURL: settings.server.publicURL, operatorAccount: settings.alerts.operatorAccount,
            includesTest: settings.alerts.includesTest, node: node)
    }
}
