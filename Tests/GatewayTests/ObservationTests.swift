import Domain
import Foundation
import OutboundHTTP
import Postgres
import Telemetry
import TestSupport
import Testing

@testable import gateway

/// What operators see of a node: metrics, readiness and health, while it works and while its database is away.
@Suite(.timeLimit(.minutes(10))) struct ObservationTests {
    @Test func `A node whose metrics address is taken serves messages all the same, and says so`() async throws {
        try await withTestNode(roles: [.api]) { first async throws in
            let taken = String(first.operators.dropFirst("http://".count))
            try await withTestNode(roles: [.api], metrics: taken) { second async throws in
                #expect(try await second.get(second.api + "/healthz").status == 200)
                #expect(second.operators.isEmpty)
                #expect(second.log.lines.contains { $0.event == "metrics listener ended" && $0.fields["address"] == taken })
            }
            #expect(try await first.get(first.operators + "/readyz").status == 200)
        }
    }

    @Test func `A message is measured on its whole way, and its request's id leads to all its log lines`() async throws {
        try await withTestNode { node in
            // given senders that are paired, over which one message was delivered
            let demo = SandboxDemo(workplace: node.workplace, simulator: node.simulator, senders: 1, once: true)
            demo.listening(on: 1)
            try await demo.run()
            // when a program sends another one, under an id of its own
            let account = try #require(try await node.test.gateway.accounts.list().first).id
            let key = try await node.test.gateway.apiKeys.create(account: account, label: "shop", test: true, now: Date()).secret
            let trace = "0af7651916cd43dd8448eb211c80319c"
            let answer = try await node.post(
                node.api + "/v1/messages", #"{"to": "+628123456789", "type": "text", "text": {"body": "Kode 1"}}"#,
                headers: ["authorization": "Bearer \(key)", "content-type": "application/json", "x-request-id": trace])
            #expect(answer.status == 202 && answer.header("x-request-id") == trace)
            _ = try await node.get(node.api + "/v1/nothing/628123456789")

            // then everything that is defined is exported, and nothing else
            let text = try await node.get(node.operators + "/metrics").text
            let types = text.matches(of: /# TYPE (\S+) (\S+)/).map { "\($0.output.1) \($0.output.2)" }
            #expect(types == MetricCatalogue.all.map { "\($0.name) \($0.kind.word)" })
            func value(_ series: String) -> Double? {
                text.split(separator: "\n").first { $0.hasPrefix(series + " ") }.flatMap { Double($0.dropFirst(series.count + 1)) }
            }
            #expect(value(#"gateway_http_requests_total{route="/v1/messages",method="POST",status="202"}"#) == 1)
            #expect(value(#"gateway_http_requests_total{route="none",method="GET",status="404"}"#) == 1)
            #expect(value(#"gateway_accept_seconds_count{request="message"}"#) == 1)
            #expect(try #require(value(#"gateway_wire_delay_seconds_count{sender="test"}"#)) >= 1)
            #expect(try #require(value(#"gateway_ack_seconds_count{sender="test"}"#)) >= 1)
            #expect(try #require(value("gateway_receipt_seconds_count")) >= 1)
            #expect(value(#"gateway_senders{state="ready",kind="test"}"#) == 1)
            #expect(value("gateway_database_up") == 1)
            #expect(value("gateway_metrics_refused_total") == 0)
            // no number, no id of anybody
            for secret in ["628123456789", "acc_", "snd_", "msg_", "wg_test", account.uuid.uuidString, account.uuid.uuidString.lowercased()] {
                #expect(!text.contains(secret), "\(secret)")
            }
            // and the log leads from the request to the message, and on
            let message = try #require(answer.json["id"] as? String)
            let lines = node.log.lines
            let requests = lines.filter { $0.fields["request.id"] == trace }
            #expect(requests.contains { $0.event == "request answered" && $0.fields["message.id"] == message })
            #expect(!lines.contains { $0.fields.values.contains { $0.contains("628123456789") } })
            let health = try await node.get(node.operators + "/health/details")
            #expect(health.json["version"] as? String == Release.version)
            #expect(
                (health.json["checks"] as? [[String: Any]])?.contains { $0["check"] as? String == "database" && $0["result"] as? String == "ok" }
                    == true)
            #expect(try await node.get(node.operators + "/readyz").text == #"{"status":"ready","codes":[]}"#)
            #expect(try await node.get(node.operators + "/v1/messages").status == 404)
            #expect(try await node.get(node.api + "/metrics").status == 404)
        }
    }

    @Test func `After a restore no old ratchet is left, and what waited ends if it is asked for`() async throws {
        try await withTestNode { node in
            let demo = SandboxDemo(workplace: node.workplace, simulator: node.simulator, senders: 1, once: true)
            demo.listening(on: 1)
            try await demo.run()
            let operations = Operations(database: node.test.gateway.databases.engine)
            #expect(try await node.test.count("SELECT 1 AS one FROM signal_sessions") > 0)
            let forgotten = try await operations.forgetRatchets(endsWaiting: true, now: Date())
            #expect(forgotten.accounts >= 1 && forgotten.signalSessions > 0)
            #expect(try await node.test.count("SELECT 1 AS one FROM signal_sessions") == 0)
            #expect(try await node.test.count("SELECT 1 AS one FROM signal_identities") > 0)
        }
        try await withTestGateway { test in
            let (account, _, _) = try await test.makeReadySender()
            let id = try await test.gateway.messages.accept(
                try test.message(), caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now
            ).message.id
            let operations = Operations(database: test.gateway.databases.engine)
            #expect(try await operations.forgetRatchets(endsWaiting: false, now: test.now).messages == 0)
            #expect(try await test.gateway.messages.find(id, account: account)?.status == .queued)
            // Scheduled for a time that came after the backup: it may have gone to anybody.
            let later = test.now.addingTimeInterval(60)
            _ = try await test.gateway.messages.accept(
                try SendMessage(to: "+628123456789", body: "later", sendAt: later, now: test.now), caller: Caller(account: account, isTest: true),
                idempotencyKey: nil, now: test.now)
            #expect(try await operations.forgetRatchets(endsWaiting: false, now: test.now).messages == 0)
            #expect(try await operations.forgetRatchets(endsWaiting: false, now: later).messages == 1)
            #expect(try await test.count("SELECT 1 AS one FROM outbox WHERE movable AND state <> 'scheduled'") == 0)
            #expect(try await test.gateway.outbox.sweep(now: later).expired == 1)
            #expect(try await operations.forgetRatchets(endsWaiting: true, now: test.now).messages == 1)
            #expect(try await test.gateway.outbox.sweep(now: test.now).expired == 1)
            #expect(try await test.gateway.messages.find(id, account: account)?.status == .expired)
        }
    }

    @Test func `A database that cannot be looked at makes a scrape short, not late`() async throws {
        let away = Database(Database.Configuration(url: "host=/nowhere user=nobody dbname=none", connections: 1, name: "away"), logger: .silent)
        try await withTestNode(roles: [.api], operations: away) { node in
            let text = try await node.get(node.operators + "/metrics").text
            #expect(text.contains("\ngateway_database_up 0\n"))
            #expect(text.contains("\nprocess_open_fds "))
            #expect(!text.contains("\ngateway_queue_messages{"))
            let health = try await node.get(node.operators + "/health/details")
            #expect(health.status == 503 && health.json["status"] as? String == "failed")
            // What stands in public says codes only: this node's API has its database.
            #expect(try await node.get(node.api + "/readyz").text == #"{"status":"ready","codes":[]}"#)
        }
    }

    @Test func `What the gateway asks of others is counted by purpose and outcome`() async throws {
        try await withTestNode(roles: [.api]) { node in
            let registry = MetricRegistry(MetricCatalogue.all)
            let measurements = Measurements(registry)
            let networks = try [#require(IPNetwork("127.0.0.0/8"))]
            var configuration = HTTPClient.Configuration(policy: .allowing(networks: networks, schemes: [.http]), userAgent: "test")
            configuration.deadline = .seconds(240)
            configuration.finished = measurements.outbound("webhook")
            let client = try HTTPClient(configuration)
            for path in ["/healthz", "/healthz", "/nothing"] { _ = try await client.send(OutboundRequest(.get, node.operators + path)) }
            await #expect(throws: OutboundFailure.self) { _ = try await client.send(OutboundRequest(.get, "https://127.0.0.1/")) }
            await client.close(within: .zero)
            let text = await registry.exposition()
            for line in [
                #"gateway_outbound_requests_total{purpose="webhook",outcome="2xx"} 2"#,
                #"gateway_outbound_requests_total{purpose="webhook",outcome="4xx"} 1"#,
                #"gateway_outbound_requests_total{purpose="webhook",outcome="scheme_forbidden"} 1"#,
                #"gateway_outbound_request_seconds_count{purpose="webhook"} 4"#,
            ] { #expect(text.contains("\n" + line + "\n"), "\(line)") }
        }
    }

    @Test func `The page of metrics says exactly what is exported`() throws {
        let page = try #require(EmbeddedDocs.pages["metrics"]?.text)
        let rows = page.split(separator: "\n").filter { $0.hasPrefix("| `") }.map(String.init)
        let expected = MetricCatalogue.all.map { definition in
            "| `\(definition.name)` | \(definition.kind.word) | \(definition.labels.map { "`\($0)`" }.joined(separator: ", ")) | \(definition.help) |"
        }
        #expect(rows == expected)
    }

    @Test func `Labels of the catalogue name nobody`() {
        let allowed: Set<String> = [
            "version", "protocol", "pool", "route", "method", "status", "request", "purpose", "transport", "outcome", "sender", "state", "kind",
            "task", "table",
        ]
        #expect(Set(MetricCatalogue.all.flatMap(\.labels)).isSubset(of: allowed))
    }

    @Test func `Figures count what is there`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            let caller = Caller(account: account, isTest: true)
            for number in 0..<3 {
                _ = try await test.gateway.messages.accept(try test.message("m \(number)"), caller: caller, idempotencyKey: nil, now: test.now)
            }
            _ = try await test.gateway.retention.runHourly(now: test.now)
            test.clock.advance(by: 1_000)
            let figures = try await Operations(database: test.gateway.databases.engine).figures(now: test.now, deadline: .seconds(240))
            #expect(figures.accounts == ["active": 1] && figures.testSenders == ["ready": 1] && figures.liveSenders.isEmpty)
            #expect(figures.queue == ["accepted": 3])
            #expect(figures.webhooksPending == 0 && figures.oldestWebhook == nil && figures.webhooksDead == 0)
            #expect(abs(try #require(figures.oldestQueued) - 1_000) < 1)
            #expect(figures.cronSuccesses.count > 20 && figures.cronFailures.isEmpty)
            #expect(Set(figures.partitionsAhead.keys).isSuperset(of: ["messages", "message_bodies", "message_events"]))
            let checks = HealthCheck.checks(of: figures, now: test.now)
            #expect(checks.filter { $0.result != .ok }.map(\.check) == ["queue"], "\(checks)")
            _ = owner
        }
    }
}

@Suite struct HealthCheckTests {
    private static let now = Date(timeIntervalSince1970: 1_780_000_000)

    private static func figures(_ change: (inout Operations.Figures) -> Void) -> Operations.Figures {
        var figures = Operations.Figures()
        figures.accounts = ["active": 1]
        figures.cronSuccesses = ["contact_cache": now.addingTimeInterval(-600), "messages": now.addingTimeInterval(-600)]
        figures.partitionsAhead = ["messages": 60 * 86_400, "message_bodies": 7 * 86_400]
        figures.liveSenders = ["ready": 2]
        change(&figures)
        return figures
    }

    static let cases: [(Operations.Figures, [String])] = [
        (figures { _ in }, []),
        (figures { $0.oldestQueued = 899 }, []),
        (figures { $0.oldestQueued = 901 }, ["warning queue"]),
        (figures { $0.cronSuccesses["messages"] = now.addingTimeInterval(-8_000) }, ["failed hourly job"]),
        (figures { $0.cronFailures = ["messages"] }, ["failed hourly job"]),
        (figures { $0.cronSuccesses = [:] }, ["failed hourly job"]),
        (figures { $0.oldestContact = 8_000 }, ["failed contact cache"]),
        (figures { $0.partitionsAhead["messages"] = 86_400 }, ["failed partitions"]),
        (figures { $0.partitionsAhead = [:] }, ["failed partitions"]),
        (figures { $0.liveSenders = ["ready": 1, "logged_out": 1] }, ["warning senders"]),
        (figures { $0.liveSenders = ["client_outdated": 3] }, ["failed client version"]),
        (figures { $0.oldestWebhook = 1_000 }, ["warning webhooks"]),
        (figures { $0.webhooksDead = 1 }, ["warning webhooks"]),
    ]

    @Test(arguments: Self.cases) func `Each figure that is not well is named, and says what to do`(
        _ figures: Operations.Figures, _ expected: [String]
    ) {
        let bad = HealthCheck.checks(of: figures, now: Self.now).filter { $0.result != .ok }
        #expect(bad.map { "\($0.result.rawValue) \($0.check)" } == expected)
        #expect(bad.allSatisfy { !$0.advice.isEmpty })
    }

    @Test func `A gateway without accounts is well`() {
        #expect(HealthCheck.checks(of: Operations.Figures(), now: Self.now).allSatisfy { $0.result == .ok })
    }
}
