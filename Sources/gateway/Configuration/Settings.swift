import Alerting
import Domain
import Foundation
import OutboundHTTP

/// Everything `gateway.toml` and its `GATEWAY_<SECTION>_<KEY>` overrides can say, with defaults filled in and checked.
///
/// Made once at the start; nothing reads the file or the environment later. Secrets never stand in it: keys that end in
/// `_file` or `_directory` name files that only the gateway's user may read.
struct Settings: Sendable {
    struct Server: Sendable {
        /// Where the API listens.
        var host: String
        var port: Int
        /// TLS ends in a proxy in front of us. Without it a listener beyond loopback is refused.
        var behindProxy: Bool
        /// How clients reach the API; used in links.
        var publicURL: String
        /// The most bytes a single request's body may have.
        var maximumBody: Int
        /// Where operators find metrics and health; nil: nowhere.
        var metrics: Address?
    }

    struct Address: Sendable {
        var host: String
        var port: Int
    }

    struct DatabaseAddresses: Sendable {
        /// Empty: the gateway runs a PostgreSQL of its own in `dataDirectory`.
        var url: String
        var engineURL: String
        var cronURL: String
        var migratorURL: String
        /// For LISTEN, which needs a direct connection.
        var listenURL: String
        var usesPooler: Bool
    }

    struct WhatsApp: Sendable {
        var endpoint: String
        /// 64 hex digits, or empty for WhatsApp's own root.
        var rootKey: String
        var version: String
        var deviceName: String
        var initialPreKeys: Int
        /// Live senders keep careful limits unless they have their own; false: none.
        var isPaced: Bool
    }

    struct Delivery: Sendable {
        var leaseTimeToLive: Duration
        var claimDeadline: Duration
        /// After it a message without an answer is written again.
        var acknowledgementTimeout: Duration
        var sendersPerNode: Int
        var loginsPerSecond: Int
    }

    struct Webhooks: Sendable {
        /// Where customers' webhooks may go.
        var policy: EgressPolicy
        /// Requests at the same time to one endpoint.
        var requestsPerEndpoint: Int
    }

    struct Alerts: Sendable {
        struct Telegram: Sendable {
            var token: TelegramToken
            var endpoint: AlertEndpoint
            /// nil: updates are asked for.
            var webhook: TelegramWebhook?
        }

        struct Resend: Sendable {
            var key: ResendKey
            var endpoint: AlertEndpoint
            var from: String
            var requestsPerSecond: Int
            /// What its webhook signs with; nil: it has none here.
            var webhookSecret: String?
        }

        /// Whose channels hear of what concerns the whole gateway; nil: the only account, if there is one.
        var operatorAccount: Account.ID?
        /// Whether test senders count.
        var includesTest: Bool
        /// nil: there is no bot.
        var telegram: Telegram?
        /// nil: there is no e-mail.
        var resend: Resend?
    }

    struct Limits: Sendable {
        /// Requests a second; 0: no limit.
        var requestsPerKey: Int
        var requestsPerAccount: Int
        var burstSeconds: Int
        /// Messages of one account that may wait at once.
        var pendingPerAccount: Int
    }

    struct Sandbox: Sendable {
        /// Loopback port of the simulator; 0 takes a free one.
        var port: Int
        /// An existing simulator's `ws://` address; empty: the gateway runs one.
        var endpoint: String
        var senders: Int
    }

    struct Log: Sendable {
        var level: String
        var isJSON: Bool
    }

    var dataDirectory: String
    var keyDirectory: String
    var server: Server
    var database: DatabaseAddresses
    var whatsApp: WhatsApp
    var delivery: Delivery
    var webhooks: Webhooks
    var alerts: Alerts
    var limits: Limits
    var sandbox: Sandbox
    var log: Log

    /// The port that Prometheus' list of exporters has for those without one of their own.
    private static let metricsListen = "127.0.0.1:9464"

    /// Reads `file` (nil: defaults only) and the environment. Throws `SettingsProblem` naming file, line, key and what is allowed.
    init(file: String?, environment: [String: String]) throws {
        var reader = try SettingsReader(file: file, environment: environment)
        dataDirectory = try reader.string("data_dir", default: "/var/lib/gateway", nonEmpty: true)
        keyDirectory = try reader.string("secrets.key_directory", default: "")
        if keyDirectory.isEmpty { keyDirectory = dataDirectory + "/keys" }

        let listen = try reader.address("server.listen", default: "127.0.0.1:8080")
        server = Server(
            host: listen.host, port: listen.port,
            behindProxy: try reader.bool("server.behind_proxy", default: false),
            publicURL: try reader.string("server.public_url", default: ""),
            maximumBody: try reader.integer("server.max_body", default: 524_288, in: 4_096...4_194_304),
            metrics: nil)
        if server.publicURL.isEmpty { server.publicURL = "http://\(listen.host):\(listen.port)" }
        guard server.behindProxy || listen.isLoopback else {
            throw reader.problem("server.listen", "listens beyond loopback without TLS; put a TLS proxy in front and set behind_proxy = true")
        }
        if !(try reader.string("server.metrics_listen", default: Self.metricsListen)).isEmpty {
            let metrics = try reader.address("server.metrics_listen", default: Self.metricsListen)
            guard server.behindProxy || metrics.isLoopback else {
                throw reader.problem("server.metrics_listen", "listens beyond loopback; keep it on loopback, or set behind_proxy = true")
            }
            server.metrics = Address(host: metrics.host, port: metrics.port)
        }

        let url = try reader.postgresURL("database.url")
        let engineURL = try reader.postgresURL("database.engine_url", fallback: url)
        database = DatabaseAddresses(
            url: url, engineURL: engineURL,
            cronURL: try reader.postgresURL("database.cron_url", fallback: url),
            migratorURL: try reader.postgresURL("database.migrator_url", fallback: url),
            listenURL: try reader.postgresURL("database.listen_url", fallback: engineURL),
            usesPooler: try reader.bool("database.pooler", default: false))

        whatsApp = WhatsApp(
            endpoint: try reader.webSocketURL("whatsapp.endpoint", default: "wss://web.whatsapp.com/ws/chat"),
            rootKey: try reader.hexKey("whatsapp.root_key"),
            version: try reader.version("whatsapp.client_version", default: Release.clientVersion),
            deviceName: try reader.string("whatsapp.device_name", default: "Gateway", nonEmpty: true),
            initialPreKeys: try reader.integer("whatsapp.initial_prekeys", default: 812, in: 20...2_000),
            isPaced: try reader.choice("whatsapp.pacing", default: "default", of: ["default", "off"]) == "default")

        delivery = Delivery(
            leaseTimeToLive: .seconds(try reader.integer("delivery.lease_ttl_seconds", default: 30, in: 2...300)),
            claimDeadline: .seconds(try reader.integer("delivery.claim_deadline_seconds", default: 20, in: 2...120)),
            acknowledgementTimeout: .seconds(try reader.integer("delivery.ack_timeout_seconds", default: 75, in: 1...600)),
            sendersPerNode: try reader.integer("delivery.senders_per_node", default: 2_000, in: 1...20_000),
            loginsPerSecond: try reader.integer("delivery.logins_per_second", default: 5, in: 1...1_000))

        let networks = try reader.networks("webhooks.allow_networks")
        let allowsHTTP = try reader.bool("webhooks.allow_http", default: false)
        webhooks = Webhooks(
            policy: .allowing(networks: networks, schemes: allowsHTTP ? [.http, .https] : [.https]),
            requestsPerEndpoint: try reader.integer("webhooks.requests_per_endpoint", default: 8, in: 1...64))

        alerts = try Self.alerts(&reader, publicURL: server.publicURL)

        limits = Limits(
            requestsPerKey: try reader.integer("limits.requests_per_second_per_key", default: 0, in: 0...100_000),
            requestsPerAccount: try reader.integer("limits.requests_per_second_per_account", default: 0, in: 0...1_000_000),
            burstSeconds: try reader.integer("limits.burst_seconds", default: 10, in: 1...3_600),
            pendingPerAccount: try reader.integer("limits.pending_per_account", default: 250_000, in: 1...100_000_000))

        sandbox = Sandbox(
            port: try reader.integer("sandbox.port", default: 0, in: 0...65_535),
            endpoint: try reader.webSocketURL("sandbox.endpoint", default: ""),
            senders: try reader.integer("sandbox.senders", default: 2, in: 1...100))

        log = Log(
            level: try reader.choice("log.level", default: "info", of: ["debug", "info", "warning", "error"]),
            isJSON: try reader.choice("log.format", default: "text", of: ["text", "json"]) == "json")

        try reader.refuseUnknownKeys()
    }
}
