import API
import Alerting
import Delivery
import Domain
import Foundation
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import OutboundHTTP
import Postgres
import Primitives
import ServiceLifecycle
import UnixSignals
import Sessions
import Simulator
import Telemetry
import Web
import WhatsApp
import WhatsAppWire

/// One running process with all its parts: the only place that knows them all. A new part is a line or two here.
struct Node {
    struct Roles: OptionSet, Sendable {
        let rawValue: Int
        static let api = Roles(rawValue: 1)
        static let engine = Roles(rawValue: 2)
        static let cron = Roles(rawValue: 4)
        static let all: Roles = [.api, .engine, .cron]
    }

    /// How long a request's body may take, and how long a connection may be quiet or take to finish its headers.
    private static let bodyDeadline = TimeAmount.seconds(30)
    private static let idleLimit = TimeAmount.seconds(75)

    let workplace: Workplace
    let roles: Roles
    /// `ws://` address and root key of the simulator that test senders speak to; nil: test senders are left alone.
    let simulator: (url: String, rootKey: PublicKey)?
    /// What is measured here; a process has one.
    var registry = MetricRegistry(MetricCatalogue.all)

    /// Runs until SIGTERM, SIGINT or `shutdown` ends; parts stop in reverse order. `onListening` hears the port of the API,
    /// `onMetrics` that of the operators' listener.
    func run(
        signals: [UnixSignal] = [.sigterm, .sigint], others: [any Service] = [], onMetrics: @escaping @Sendable (Int?) async -> Void = { _ in },
        onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    )
        async throws
    {
        let observation = Observation(workplace, registry: registry)
        let gateway = workplace.gateway
        let logger = workplace.logger
        let notifications = Notifications(workplace.listenConfiguration, logger: logger)
        var services: [any Service] = []
        if let cluster = workplace.cluster { services.append(cluster) }
        let databases = gateway.databases
        services +=
            [
                databases.api, databases.engine, databases.cron, databases.leases, workplace.owner, workplace.operations, workplace.clock,
                notifications,
            ] as [any Service]
        let now: @Sendable () -> Date = { [clock = workplace.clock] in clock.now() }
        let name = "node-\(Hex.encode(SystemRandom().bytes(8)))"
        let alerting = try AlertingParts(workplace.settings, observation: observation)
        services += alerting.clients as [any Service]
        if roles.contains(.engine) {
            let sessions = SenderSessions(
                gateway: gateway, node: name, configuration: try sessionSettings(),
                notifications: notifications, now: now, logger: logger)
            services.append(sessions)
            services.append(
                DeliveryService(
                    gateway: gateway, transport: observation.measured(sessions), notifications: notifications,
                    claimDeadline: workplace.settings.delivery.claimDeadline,
                    now: now, logger: logger))
            var hooks = HTTPClient.Configuration(policy: workplace.settings.webhooks.policy, userAgent: "gateway-webhooks/1")
            hooks.runningPerHost = 64
            hooks.finished = observation.measurements.outbound("webhook")
            let http = try HTTPClient(hooks)
            observation.watch(http, purpose: "webhook")
            services.append(http)
            services.append(
                WebhookService(
                    gateway: gateway, http: http, perEndpoint: workplace.settings.webhooks.requestsPerEndpoint, now: now, logger: logger))
            services.append(
                AlertingService(
                    gateway: gateway, alerting.configuration(workplace.settings, node: name), now: now, tried: observation.measurements.noticeTried,
                    logger: logger))
        }
        if roles.contains(.cron) { services.append(CronService(gateway: gateway, now: now, logger: logger)) }
        if let address = workplace.settings.server.metrics {
            services.append(observation.server((address.host, address.port), onListening: onMetrics))
        }
        if roles.contains(.api) { services.append(webServer(observation, alerting, now: now, onListening: onListening)) }
        services.append(observation.readiness)
        var configurations = services.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) }
        configurations += others.map {
            ServiceGroupConfiguration.ServiceConfiguration(
                service: $0, successTerminationBehavior: .gracefullyShutdownGroup, failureTerminationBehavior: .gracefullyShutdownGroup)
        }
        // At debug level the group prints its services with everything in them.
        var groupLogger = logger
        groupLogger.logLevel = max(logger.logLevel, .info)
        try await ServiceGroup(
            configuration: ServiceGroupConfiguration(services: configurations, gracefulShutdownSignals: signals, logger: groupLogger)
        ).run()
    }

    private func webServer(
        _ observation: Observation, _ alerting: AlertingParts, now: @escaping @Sendable () -> Date,
        onListening: @escaping @Sendable (Int) async -> Void
    ) -> some Service {
        let router = Hummingbird.Router(context: WebContext.self)
        router.add(middleware: observation.requests)
        let settings = workplace.settings
        let limits = RequestLimits(
            perKey: settings.limits.requestsPerKey, perAccount: settings.limits.requestsPerAccount, burstSeconds: settings.limits.burstSeconds)
        Routes(
            gateway: workplace.gateway, maximumBody: settings.server.maximumBody, limits: limits, behindProxy: settings.server.behindProxy,
            alerts: AlertSetup(telegramBot: { [alerting] in await alerting.telegram?.desk.userName }, sendsEmail: alerting.resend != nil), now: now
        ).add(to: router) { [readiness = observation.readiness] in await readiness.codes }
        AlertHooks(gateway: workplace.gateway, parts: alerting, now: now, logger: workplace.logger).add(to: router)
        DocsRoutes.add(to: router)
        return Application(
            router: router,
            server: .http1(
                configuration: HTTP1Channel.Configuration(
                    additionalChannelHandlers: [RequestDeadline(limit: Self.bodyDeadline)], idleTimeout: Self.idleLimit)),
            configuration: ApplicationConfiguration(address: .hostname(settings.server.host, port: settings.server.port), serverName: nil),
            onServerRunning: { [logger = workplace.logger] channel in
                do { try await AcceptPause.add(to: channel, logger: logger) } catch { logger.error("listening socket is gone") }
                await onListening(channel.localAddress?.port ?? 0)
            }, logger: workplace.logger)
    }

    private func sessionSettings() throws -> SenderSessions.Configuration {
        let settings = workplace.settings.whatsApp
        guard let version = ClientVersion(settings.version) else { throw Failure("whatsapp.client_version must be three numbers") }
        func configuration(_ url: String, _ rootKey: PublicKey) -> WhatsAppConfiguration {
            var configuration = WhatsAppConfiguration(
                url: url, rootKey: rootKey, version: version, deviceName: settings.deviceName)
            configuration.firstPreKeys = settings.initialPreKeys
            configuration.ackTimeout = workplace.settings.delivery.acknowledgementTimeout
            return configuration
        }
        let root = try Hex.decode(settings.rootKey).flatMap { $0.isEmpty ? nil : try PublicKey($0) } ?? CertificateChain.productionRoot
        return SenderSessions.Configuration(
            live: configuration(settings.endpoint, root), test: simulator.map { configuration($0.url, $0.rootKey) },
            leaseTTL: workplace.settings.delivery.leaseTimeToLive, limit: workplace.settings.delivery.sendersPerNode,
            loginsPerSecond: workplace.settings.delivery.loginsPerSecond)
    }
}
