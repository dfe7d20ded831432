import Domain
import Foundation
import Logging
import OutboundHTTP
import Postgres
import ServiceLifecycle
import Simulator
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import gateway

/// A whole node in this process, on a database of its own.
struct TestNode: Sendable {
    let test: TestGateway
    let workplace: Workplace
    let simulator: WhatsAppSimulator
    let log: LoggedLines
    /// `http://127.0.0.1:PORT` of the API, and of the operators' listener.
    let api: String
    let operators: String

    func get(_ url: String, key: String? = nil, headers: KeyValuePairs<String, String> = [:]) async throws -> Answer {
        try await Self.send(OutboundRequest(.get, url, headers: headers))
    }

    func post(_ url: String, _ json: String, headers: KeyValuePairs<String, String>) async throws -> Answer {
        try await Self.send(OutboundRequest(.post, url, headers: headers, body: Array(json.utf8)))
    }

    struct Answer: Sendable {
        var status: Int
        var headers: [OutboundResponse.Header]
        var text: String

        var json: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:] }

        func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
    }

    private static func send(_ request: OutboundRequest) async throws -> Answer {
        var request = request
        request.deadline = .seconds(240)
        let networks = try [#require(IPNetwork("127.0.0.0/8"))]
        let client = try HTTPClient(.init(policy: .allowing(networks: networks, schemes: [.http]), userAgent: "test"))
        let response = try await client.send(request)
        await client.close(within: .zero)
        return Answer(status: response.status, headers: response.headers, text: String(decoding: response.body, as: UTF8.self))
    }
}

/// Runs `body` beside a node that serves, and ends both.
/// - Parameters:
///   - operations: where the node looks for its figures; nil: in its database.
///   - more: further settings, by the names of their environment variables.
func withTestNode(
    roles: Node.Roles = .all, operations: Database? = nil, metrics: String = "127.0.0.1:0", settings more: [String: String] = [:],
    _ body: @escaping @Sendable (TestNode) async throws -> Void
) async throws {
    try await withTestGateway(start: Date()) { test in
        let log = LoggedLines()
        var logger = Logger(label: "gateway") { _ in log.handler }
        logger.logLevel = .debug
        let settings = try Settings(
            file: nil,
            environment: [
                "GATEWAY_SERVER_LISTEN": "127.0.0.1:0", "GATEWAY_SERVER_METRICS_LISTEN": metrics, "GATEWAY_WHATSAPP_INITIAL_PREKEYS": "20",
                "GATEWAY_DELIVERY_LOGINS_PER_SECOND": "100",
            ].merging(more) { $1 })
        let simulator = try await WhatsAppSimulator.start(logger: .silent)
        let workplace = Workplace(
            settings: settings, gateway: test.gateway, clock: DatabaseClock(database: test.gateway.databases.leases, logger: logger), cluster: nil,
            owner: test.owner, operations: operations ?? test.database.open(role: "gateway_engine", connections: 1), logger: logger,
            listenConfiguration: Database.Configuration(url: test.database.url(role: "gateway_engine"), connections: 1, name: "hints"))
        let companion = Companion { api, operators in
            try await body(
                TestNode(
                    test: test, workplace: workplace, simulator: simulator, log: log, api: "http://127.0.0.1:\(api)",
                    operators: operators.map { "http://127.0.0.1:\($0)" } ?? ""))
        }
        do {
            try await Node(workplace: workplace, roles: roles, simulator: (simulator.webSocketURL, simulator.rootKey)).run(
                signals: [], others: [companion], onMetrics: { companion.operators.finish(with: $0) }, onListening: { companion.api.finish(with: $0) }
            )
        } catch {
            await simulator.stop()
            throw error
        }
        await simulator.stop()
    }
}

/// What runs beside the node's parts; the node ends with it.
private final class Companion: Service {
    final class Port: Sendable {
        private let stream = AsyncStream<Int>.makeStream()

        func finish(with number: Int?) {
            if let number { stream.continuation.yield(number) }
            stream.continuation.finish()
        }

        /// nil: it does not listen.
        func value() async -> Int? {
            for await number in stream.stream { return number }
            return nil
        }
    }

    let api = Port()
    let operators = Port()
    private let body: @Sendable (Int, Int?) async throws -> Void

    init(_ body: @escaping @Sendable (Int, Int?) async throws -> Void) { self.body = body }

    func run() async throws {
        guard let port = await api.value() else { throw CancellationError() }
        try await body(port, await operators.value())
    }
}

/// What was logged, for tests.
final class LoggedLines: Sendable {
    struct Line: Sendable {
        var event: String
        var fields: [String: String]
    }

    private let state = Mutex<[Line]>([])

    var lines: [Line] { state.withLock { $0 } }
    var handler: some LogHandler { Handler(lines: self) }

    fileprivate func add(_ line: Line) { state.withLock { $0.append(line) } }

    private struct Handler: LogHandler {
        let lines: LoggedLines
        var logLevel = Logger.Level.debug
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let fields = metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
            lines.add(Line(event: "\(event.message)", fields: fields))
        }
    }
}
