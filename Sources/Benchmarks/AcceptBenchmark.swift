import Postgres
import Proof
import Simulator

/// `POST /v1/messages` with everything on, a bare echo of the same JSON, and single-row inserts, in turns on the same machine.
///
/// The gateway runs with `--roles api`: its senders were paired before, and no engine competes. The rows go to the gateway's own cluster.
struct AcceptBenchmark {
    let bench: Workbench

    func run(into table: inout Table) async throws {
        let results = try await bench.withSimulator { simulator in
            let gateway = try bench.makeGateway("accept", simulator: simulator, settings: ["GATEWAY_LIMITS_PENDING_PER_ACCOUNT": "10000000"])
            return try await bench.withCluster(gateway) { cluster in
                let key = try await gateway.makeTestKey(account: "Benchmark")
                bench.say("accepting: pairing \(bench.plan.acceptSenders) senders")
                _ = try await gateway.serve { _, _ in
                    try await Pairing(port: gateway.port, key: key, simulator: simulator).pair(bench.plan.acceptSenders)
                }
                return try await gateway.serve(roles: "api") { _, _ in try await measure(gateway, key: key, cluster) }
            }
        }
        for (connections, loads) in results.singles { add(connections, loads, to: &table) }
        add(results.batches, to: &table)
    }

    private struct Results: Sendable {
        var singles: [(Int, Loads)] = []
        var batches = Loads()
    }

    private struct Loads: Sendable {
        var accept: [Load] = []
        var echo: [Load] = []
        var insert: [Load] = []
    }

    private func measure(_ gateway: GatewayProcess, key: String, _ cluster: EmbeddedCluster) async throws -> Results {
        try await bench.withEcho { try await measure(gateway, key: key, cluster, echoPort: $0) }
    }

    private func measure(_ gateway: GatewayProcess, key: String, _ cluster: EmbeddedCluster, echoPort: Int) async throws -> Results {
        let database = Database(Database.Configuration(url: cluster.connectionString(), connections: 1, name: "bench"), logger: bench.logger)
        do {
            let wrk = try Wrk(script: bench.script, folder: bench.folder)
            let pgbench = try Pgbench(cluster: cluster, folder: bench.folder)
            try await pgbench.makeTable(database)
            // Verifies the key, fills caches and lets the code be read from disk; not counted.
            for port in [gateway.port, echoPort] { try await warm(port, key: key) }
            for port in [gateway.port, echoPort] { _ = try await wrk.run(port: port, key: key, connections: 16, seconds: 1) }
            var results = Results()
            for connections in bench.plan.connections {
                var loads = Loads()
                for round in 1...bench.plan.rounds {
                    bench.say(
                        "accepting: \(connections == 1 ? "1 connection" : "\(connections) connections"), round \(round) of \(bench.plan.rounds)")
                    let seconds = bench.plan.loadSeconds
                    loads.accept.append(try await wrk.run(port: gateway.port, key: key, connections: connections, seconds: seconds))
                    loads.echo.append(try await wrk.run(port: echoPort, key: key, connections: connections, seconds: seconds))
                    loads.insert.append(try await pgbench.run(clients: min(connections, Pgbench.mostClients), seconds: seconds))
                }
                results.singles.append((connections, loads))
            }
            results.batches = try await measureBatches(wrk, gateway, key: key, cluster)
            try await pgbench.dropTable(database)
            await database.close()
            return results
        } catch {
            await database.close()
            throw error
        }
    }

    private func measureBatches(_ wrk: Wrk, _ gateway: GatewayProcess, key: String, _ cluster: EmbeddedCluster) async throws -> Loads {
        let database = Database(Database.Configuration(url: cluster.connectionString(), connections: 2, name: "bench-batch"), logger: bench.logger)
        let inserts = BatchInserts(database: database, rows: Self.batch)
        var loads = Loads()
        do {
            for round in 1...bench.plan.rounds {
                bench.say("accepting: batches of \(Self.batch), round \(round) of \(bench.plan.rounds)")
                var accepted = try await wrk.run(
                    port: gateway.port, key: key, connections: bench.plan.batchConnections, seconds: bench.plan.loadSeconds, batch: Self.batch)
                accepted.perSecond *= Double(Self.batch)
                loads.accept.append(accepted)
                loads.insert.append(try await inserts.run(seconds: bench.plan.loadSeconds))
            }
            await database.close()
        } catch {
            await database.close()
            throw error
        }
        return loads
    }

    private func add(_ batches: Loads, to table: inout Table) {
        let accept = Load.median(batches.accept)
        let insert = Load.median(batches.insert)
        table.add("POST /v1/messages/batch, \(Self.batch) messages each, \(bench.plan.batchConnections) connections", accept)
        table.add("  messages accepted", accept.perSecond, "per second", target: "batch", .atLeast(25_000))
        addRefusals(accept, to: &table)
        table.add("multi-row insert of the same rows, \(Self.batch) a commit", insert)
        table.add("  batches / multi-row insert", accept.perSecond / insert.perSecond, "", target: "batch-insert", .atLeast(0.4))
    }

    /// Messages of one batch.
    private static let batch = 100

    /// One message, accepted: with that the gateway has hashed the key.
    private func warm(_ port: Int, key: String) async throws {
        let status = try await HTTPConnection.with(port: port, key: key) { connection in
            try await connection.send(
                .POST, "/v1/messages", idempotencyKey: "warm",
                json: """
                    {"to":"+6281210000010","type":"text","text":{"body":"warm"},"reference":"warm","metadata":{}}
                    """
            ).status
        }
        guard status == 202 else { throw BenchmarkFailure("the first message on port \(port) was answered with \(status)") }
    }

    private func add(_ connections: Int, _ loads: Loads, to table: inout Table) {
        let accept = Load.median(loads.accept)
        let echo = Load.median(loads.echo)
        let insert = Load.median(loads.insert)
        let suffix = connections == 1 ? "1 connection" : "\(connections) connections"
        // design.md §11 sets its targets for one request alone, and for 64 and 256 connections.
        let loaded = connections >= 64
        table.add("POST /v1/messages, \(suffix)", accept)
        table.add("  requests that failed", Double(accept.failed), "", target: "accept-failures", .atMost(0))
        addRefusals(accept, to: &table)
        table.add("bare echo of the same JSON, \(suffix)", echo)
        addRefusals(echo, to: &table)
        table.add("pgbench single-row insert, \(suffix)", insert)
        table.add("  accept / echo", accept.perSecond / echo.perSecond, "", target: loaded ? "accept-echo" : nil, .atLeast(0.5))
        table.add("  accept p99 / echo p99", accept.p99 / echo.p99, "", target: loaded ? "accept-echo-p99" : nil, .atMost(4))
        table.add("  accept / insert", accept.perSecond / insert.perSecond)
        if connections == 1 { table.add("  accept p50 / commit p50", accept.p50 / insert.p50, "", target: "accept-alone", .atMost(3)) }
    }

    /// Only what happened.
    private func addRefusals(_ load: Load, to table: inout Table) {
        for (status, count) in load.refusals.sorted(by: { $0.key < $1.key }) { table.add("    answered \(status)", Double(count)) }
        if load.unanswered > 0 { table.add("    without answer", Double(load.unanswered)) }
    }
}
