import NIOHTTP1
import Postgres
import Proof
import Simulator

/// What is measured beside the messages per second: a lone message's way to the wire, and what PostgreSQL says about itself.
extension EndToEndBenchmark {
    private struct Accepted: Sendable {
        var text: String
        var at: ContinuousClock.Instant
    }

    /// One message after the other from a sender that does nothing else, each after the one before was shown: milliseconds from the 202 to the
    /// stanza's arrival at the server, ascending. A stanza that is quicker than the answer counts as 0.
    func idleLatencies(_ sender: String, _ course: Course) async throws -> [Double] {
        bench.say("delivering: \(bench.plan.idleMessages) messages of an idle sender")
        let clock = ContinuousClock()
        let accepted = try await HTTPConnection.with(port: course.port, key: course.key) { connection in
            var accepted: [Accepted] = []
            for number in 0..<bench.plan.idleMessages {
                let text = "idle-\(number)"
                let json = """
                    {"to":"+\(Self.number(0))","type":"text","text":{"body":"\(text)"},"route":{"sender":"\(sender)"}}
                    """
                let before = course.simulator.counters.shown
                let status = try await connection.send(.POST, "/v1/messages", idempotencyKey: text, json: json).status
                guard status == 202 else { throw BenchmarkFailure("a message was not accepted: \(status)") }
                accepted.append(Accepted(text: text, at: clock.now))
                let end = clock.now + .seconds(10)
                while course.simulator.counters.shown < before + Self.devices + 1 {
                    guard clock.now < end else { throw BenchmarkFailure("\(text) was not shown") }
                    try await clock.sleep(for: .milliseconds(2))
                }
                // Receipts are recorded, and everybody is quiet again.
                try await clock.sleep(for: .milliseconds(20))
            }
            return accepted
        }
        let arrivals = course.simulator.arrivals
        let ids = Dictionary(
            course.simulator.received(number: Self.number(0), limit: .max).compactMap { copy in copy.text.map { ($0, copy.id) } },
            uniquingKeysWith: { first, _ in first })
        let times = accepted.compactMap { message in ids[message.text].flatMap { arrivals[$0] }.map { message.at.duration(to: $0) / .milliseconds(1) }
        }
        guard times.count == accepted.count else { throw BenchmarkFailure("not every message of the idle sender arrived") }
        return times.map { max(0, $0) }.sorted()
    }

    /// The median of durable single-row commits, in milliseconds.
    func commitTime(_ cluster: EmbeddedCluster, _ database: Database) async throws -> Double {
        let pgbench = try Pgbench(cluster: cluster, folder: bench.folder)
        try await pgbench.makeTable(database)
        let load = try await pgbench.run(clients: 1, seconds: max(1, bench.plan.loadSeconds / 2))
        try await pgbench.dropTable(database)
        return load.p50
    }

    /// Transactions committed so far in all databases. Waits until the backends have reported theirs.
    func commits(_ database: Database) async throws -> Int {
        try await ContinuousClock().sleep(for: .seconds(bench.plan.counterSeconds))
        return try await database.queryOne(
            "bench.commits", "SELECT sum(xact_commit)::bigint AS commits FROM pg_stat_database", as: { Int(try $0.column("commits", as: Int64.self)) }
        ) ?? 0
    }

    /// What is committed while nobody wants anything, in the time that `commits` waits: pollers look for work, and leases are renewed.
    func idleCommits(_ database: Database) async throws -> Int {
        let before = try await commits(database)
        return try await commits(database) - before
    }

    func resetStatements(_ database: Database) async throws {
        guard bench.countsStatements else { return }
        try await database.executeOutsideTransaction("bench.statements", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        _ = try await database.query("bench.reset", "SELECT pg_stat_statements_reset()::text AS done", as: { _ in })
    }

    /// The statements that took most of the server's time, per message.
    func sayStatements(_ database: Database, messages: Int) async throws {
        guard bench.countsStatements else { return }
        let count = Double(max(1, messages))
        let lines = try await database.query(
            "bench.top",
            """
            SELECT calls, total_exec_time AS spent, rows, regexp_replace(query, '\\s+', ' ', 'g') AS text
            FROM pg_stat_statements
            ORDER BY total_exec_time DESC
            LIMIT 16
            """
        ) { row in
            let calls = Double(try row.column("calls", as: Int64.self))
            let spent = try row.column("spent", as: Double.self)
            let text = try row.column("text", as: String.self)
            return "\(Table.number(spent * 1_000 / count)) µs and \(Table.number(calls / count)) calls a message, "
                + "\(Table.number(spent / calls)) ms each: \(text.prefix(140))"
        }
        for line in lines { bench.say(line) }
    }
}
