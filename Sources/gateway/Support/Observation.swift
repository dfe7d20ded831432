import Domain
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import OutboundHTTP
import Postgres
import ServiceLifecycle
import Telemetry
import Web

/// How one node is watched: its metrics, its readiness, and the listener for operators with `/metrics`, `/readyz` and `/health/details`.
///
/// What must be asked of the database is asked at a scrape, over a connection of its own, within two seconds, and is good for five: scraping
/// costs the same however many scrape, and a database that is down makes a scrape short, not late.
final class Observation: Sendable {
    /// What the database said last.
    struct Look: Sendable {
        var isUp: Bool
        /// nil: it could not be read, or not in time.
        var figures: Operations.Figures?
        /// How many transactions old the oldest snapshot is.
        var snapshotAge: Int?
        var took: Duration
    }

    private static let lifetime: Duration = .seconds(5)

    let measurements: Measurements
    let readiness: Readiness
    private let receipts: ReceiptSample
    private let registry: MetricRegistry
    private let workplace: Workplace
    private let look: CachedReading<Look>

    init(_ workplace: Workplace, registry: MetricRegistry, log: LogSink = .standardError) {
        self.workplace = workplace
        self.registry = registry
        let measurements = Measurements(registry)
        let database = workplace.operations
        let operations = Operations(database: database)
        let clock = workplace.clock
        let receipts = ReceiptSample { clock.now() }
        self.measurements = measurements
        self.receipts = receipts
        readiness = Readiness(database: workplace.gateway.databases.api)
        look = CachedReading(lifetime: Self.lifetime) { [logger = workplace.logger] in
            let start = ContinuousClock.now
            var look = Look(isUp: false, figures: nil, took: .zero)
            do {
                try await database.execute("operations.ping", "SELECT 1 AS up", deadline: .seconds(2))
                look.isUp = true
                look.figures = try await operations.figures(now: clock.now())
                look.snapshotAge = try await operations.snapshotAge()
                look.took = start.duration(to: .now)
                try await receipts.look(operations, measurements)
            } catch {
                look.took = start.duration(to: .now)
                logger.warning("figures could not be read", metadata: ["error.code": "\(type(of: error))"])
            }
            return look
        }
        let databases = workplace.gateway.databases
        registry.add {
            [
                Sample("gateway_build_info", [Release.version, workplace.settings.whatsApp.version], 1),
                Sample("gateway_log_lines_total", [], Double(log.counts.written)),
                Sample("gateway_log_lines_dropped_total", [], Double(log.counts.dropped)),
            ]
        }
        registry.add { [weak registry] in [Sample("gateway_metrics_refused_total", [], Double(registry?.refusals ?? 0))] }
        registry.add { ProcessFigures.read() }
        registry.add { clock.offset.map { [Sample("gateway_clock_offset_seconds", [], $0)] } ?? [] }
        registry.add {
            [("api", databases.api), ("engine", databases.engine), ("cron", databases.cron), ("leases", databases.leases)].flatMap { name, pool in
                let load = pool.load
                return [
                    Sample("gateway_database_connections", [name], Double(load.connections)),
                    Sample("gateway_database_connections_busy", [name], Double(load.busy)),
                    Sample("gateway_database_waiting", [name], Double(load.waiting)),
                ]
            }
        }
        registry.add { [look] in Self.samples(of: await look.value, now: clock.now()) }
    }

    // MARK: What the node puts in place

    /// Outermost, in front of everything else that answers requests.
    var requests: RequestMeasurement { RequestMeasurement(measurements: measurements) }

    func measured(_ transport: any Transport) -> MeasuredTransport {
        MeasuredTransport(
            transport: transport, measurements: measurements, receipts: receipts,
            patience: workplace.settings.delivery.acknowledgementTimeout, now: { [clock = workplace.clock] in clock.now() }, logger: workplace.logger)
    }

    /// Shows how much a client has to do. Its configuration has `measurements.outbound(purpose)` as `finished`.
    func watch(_ client: HTTPClient, purpose: String) {
        registry.add { [weak client] in
            guard let load = client?.load else { return [] }
            return [
                Sample("gateway_outbound_running", [purpose], Double(load.running)),
                Sample("gateway_outbound_waiting", [purpose], Double(load.waiting)),
            ]
        }
    }

    // MARK: The listener

    /// It never stops the node: messages go on while its address is taken, and the log says so.
    /// - Parameter onListening: hears the port; nil: it could not listen.
    func server(_ address: (host: String, port: Int), onListening: @escaping @Sendable (Int?) async -> Void) -> some Service {
        let router = Hummingbird.Router(context: BasicRequestContext.self)
        router.get("metrics") { [registry] _, _ in
            Self.response(await registry.exposition(), type: Exposition.contentType)
        }
        router.get("healthz") { _, _ in JSONResponse.make(["status": "ok"]) }
        router.get("readyz") { [readiness] _, _ in
            let codes = await readiness.codes
            return JSONResponse.make(
                Ready(status: codes.isEmpty ? "ready" : "not_ready", codes: codes), status: codes.isEmpty ? .ok : .serviceUnavailable)
        }
        router.get("health/details") { [self] _, _ in
            let report = await report
            return JSONResponse.make(report, status: report.status == .failed ? .serviceUnavailable : .ok)
        }
        let application = Application(
            router: router, configuration: ApplicationConfiguration(address: .hostname(address.host, port: address.port), serverName: nil),
            onServerRunning: { channel in await onListening(channel.localAddress?.port) }, logger: workplace.logger)
        return DispensableService(service: application) { [logger = workplace.logger] error in
            logger.error(
                "metrics listener ended", metadata: ["address": "\(address.host):\(address.port)", "error.code": "\(type(of: error))"])
            await onListening(nil)
        }
    }

    private struct Ready: Encodable {
        var status: String
        var codes: [String]
    }

    /// Everything about this node in one document; the worst check is its status.
    struct Report: Encodable, Sendable {
        var status: HealthCheck.Result
        var version: String
        var codes: [String]
        var clockOffsetSeconds: Double?
        var queue: [String: Int]
        var senders: [String: Int]
        var checks: [HealthCheck]

        enum CodingKeys: String, CodingKey {
            case status, version, codes, queue, senders, checks
            case clockOffsetSeconds = "clock_offset_seconds"
        }
    }

    var report: Report {
        get async {
            let look = await look.value
            let codes = await readiness.codes
            var checks = [
                look.figures == nil
                    ? HealthCheck.failed(
                        "database", "it did not answer within \(look.took.milliseconds) ms", "see the log; gateway doctor tells more")
                    : HealthCheck.ok("database", "answered in \(look.took.milliseconds) ms")
            ]
            if let figures = look.figures { checks += HealthCheck.checks(of: figures, now: workplace.clock.now()) }
            return Report(
                status: HealthCheck.worst(checks), version: Release.version, codes: codes, clockOffsetSeconds: workplace.clock.offset,
                queue: look.figures?.queue ?? [:], senders: look.figures?.liveSenders ?? [:], checks: checks)
        }
    }

    // MARK: Samples

    private static func samples(of look: Look, now: Date) -> [Sample] {
        var samples = [
            Sample("gateway_database_up", [], look.isUp ? 1 : 0),
            Sample("gateway_database_look_seconds", [], look.took / .seconds(1)),
        ]
        if let age = look.snapshotAge { samples.append(Sample("gateway_database_snapshot_age_transactions", [], Double(age))) }
        guard let figures = look.figures else { return samples }
        func add(_ name: String, _ values: [String] = [], _ value: Double) { samples.append(Sample(name, values, value)) }
        for state in ["scheduled", "hold", "accepted", "prepared", "on_wire"] {
            add("gateway_queue_messages", [state], Double(figures.queue[state] ?? 0))
        }
        add("gateway_queue_oldest_seconds", [], figures.oldestQueued ?? 0)
        for state in SenderState.allCases {
            add("gateway_senders", [state.rawValue, "live"], Double(figures.liveSenders[state.rawValue] ?? 0))
            add("gateway_senders", [state.rawValue, "test"], Double(figures.testSenders[state.rawValue] ?? 0))
        }
        for (state, count) in figures.accounts { add("gateway_accounts", [state], Double(count)) }
        add("gateway_nodes", [], Double(figures.nodes))
        for (task, time) in figures.cronSuccesses {
            add("gateway_cron_last_success_timestamp_seconds", [task], time.timeIntervalSince1970.rounded())
        }
        if let oldest = figures.cronSuccesses.values.min() {
            add("gateway_cron_oldest_success_age_seconds", [], max(0, now.timeIntervalSince(oldest)).rounded())
        }
        for task in figures.cronFailures.union(figures.cronSuccesses.keys) {
            add("gateway_cron_failed", [task], figures.cronFailures.contains(task) ? 1 : 0)
        }
        add("gateway_webhooks_pending", [], Double(figures.webhooksPending))
        add("gateway_webhooks_oldest_seconds", [], max(0, figures.oldestWebhook ?? 0))
        add("gateway_webhooks_dead", [], Double(figures.webhooksDead))
        add("gateway_contacts_cached", [], Double(figures.contacts))
        add("gateway_contacts_oldest_seconds", [], max(0, figures.oldestContact ?? 0))
        for (table, ahead) in figures.partitionsAhead { add("gateway_partitions_ahead_seconds", [table], ahead.rounded()) }
        return samples
    }

    private static func response(_ text: String, type: String) -> Response {
        Response(status: .ok, headers: [.contentType: type, .cacheControl: "no-store"], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension HealthCheck {
    /// Of many: failed before warning before ok.
    static func worst(_ checks: [HealthCheck]) -> Result {
        checks.contains { $0.result == .failed } ? .failed : checks.contains { $0.result == .warning } ? .warning : .ok
    }
}
