import Foundation
import Postgres
import Proof

/// What one load generator measured.
struct Load: Sendable {
    var perSecond: Double
    /// Milliseconds.
    var p50: Double
    var p99: Double
    /// Status → answers other than 202; they do not count in `perSecond`.
    var refusals: [Int: Int] = [:]
    /// Requests that could not be sent or had no answer in time.
    var unanswered = 0

    var failed: Int { refusals.values.reduce(unanswered, +) }

    /// The middle of several rounds, figure by figure; failures are summed.
    static func median(_ rounds: [Load]) -> Load {
        func middle(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.sorted()[values.count / 2] }
        return Load(
            perSecond: middle(rounds.map(\.perSecond)), p50: middle(rounds.map(\.p50)), p99: middle(rounds.map(\.p99)),
            refusals: rounds.map(\.refusals).reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) },
            unanswered: rounds.map(\.unanswered).reduce(0, +))
    }
}

/// `POST /v1/messages` by wrk, on one thread.
struct Wrk {
    let program: String
    /// `Scripts/bench.lua`.
    let script: String
    let folder: String

    init(script: String, folder: String) throws {
        program = try ChildProcess.find("wrk")
        self.script = script
        self.folder = folder
    }

    /// Throws when no request was answered well.
    /// - Parameter batch: messages of one request; nil: `POST /v1/messages`, else that of batches.
    func run(port: Int, key: String, connections: Int, seconds: Int, batch: Int? = nil) async throws -> Load {
        let text = try await ChildProcess.output(
            of: program,
            [
                "--threads", "1", "--connections", "\(connections)", "--duration", "\(seconds)s", "--timeout", "10s", "--script", script,
                "http://127.0.0.1:\(port)/v1/messages" + (batch == nil ? "" : "/batch"),
            ], environment: ["BENCH_KEY": key, "BENCH_RUN": UUID().uuidString, "BENCH_BATCH": batch.map { "\($0)" } ?? ""],
            errors: folder + "/errors.log", limit: .seconds(seconds + 30))
        guard let line = text.split(separator: "\n").last(where: { $0.hasPrefix("bench ") }) else { throw BenchmarkFailure("wrk printed no result") }
        // bench <answers> <microseconds> <unanswered> <p50> <p99> and one <status>=<count> for each status but 202; see Scripts/bench.lua.
        let fields = line.split(separator: " ").dropFirst()
        let numbers = fields.compactMap { Double($0) }
        var refusals: [Int: Int] = [:]
        for field in fields {
            let pair = field.split(separator: "=").compactMap { Int($0) }
            if pair.count == 2 { refusals[pair[0]] = pair[1] }
        }
        let accepted = (numbers.first ?? 0) - Double(refusals.values.reduce(0, +))
        guard numbers.count == 5, numbers[1] > 0, accepted > 0 else {
            throw BenchmarkFailure("no request of wrk was answered with 202 on port \(port): \(fields.joined(separator: " "))")
        }
        return Load(
            perSecond: accepted / (numbers[1] / 1e6), p50: numbers[3] / 1_000, p99: numbers[4] / 1_000, refusals: refusals,
            unanswered: Int(numbers[2]))
    }
}

/// Single-row inserts by pgbench into a table of its own: one durable commit for each row.
struct Pgbench {
    /// The embedded PostgreSQL has 80 connections, and the gateway holds some of them.
    static let mostClients = 50

    /// A row as large as a message's: key, account, recipient, status, a body of 200 bytes, JSON, three times; two indexes beside the key.
    private static let table = """
        DROP TABLE IF EXISTS bench_rows;
        CREATE TABLE bench_rows (id uuid PRIMARY KEY, account uuid NOT NULL, recipient bytea NOT NULL, status smallint NOT NULL, body bytea NOT NULL,
            metadata jsonb NOT NULL, created_at timestamptz NOT NULL, due_at timestamptz NOT NULL, expires_at timestamptz NOT NULL);
        CREATE INDEX bench_rows_recipient ON bench_rows (account, recipient);
        CREATE INDEX bench_rows_due ON bench_rows (due_at) WHERE status = 0;
        """
    private static let insert = """
        INSERT INTO bench_rows VALUES (gen_random_uuid(), '018f0000-0000-7000-8000-000000000001', int8send((random() * 1e9)::bigint), 0,
            convert_to(repeat('x', 200), 'UTF8'), '{"campaign": "november", "order": "00001234", "reference": "order-00001234", "try": 1}',
            now(), now(), now() + interval '3 days');

        """

    let program: String
    let folder: String
    let address: String
    private let script: String

    init(cluster: EmbeddedCluster, folder: String) throws {
        program = try ChildProcess.find("pgbench")
        self.folder = folder
        address = cluster.connectionString()
        script = folder + "/insert.sql"
        try Self.insert.write(toFile: script, atomically: true, encoding: .utf8)
    }

    func makeTable(_ database: Database) async throws { try await database.executeOutsideTransaction("bench.table", Self.table) }

    func dropTable(_ database: Database) async throws { try await database.executeOutsideTransaction("bench.drop", "DROP TABLE bench_rows") }

    /// Percentiles come from pgbench's log, one line for each transaction with its microseconds in the third field.
    func run(clients: Int, seconds: Int) async throws -> Load {
        let log = "\(folder)/pgbench-\(UUID().uuidString)"
        let text = try await ChildProcess.output(
            of: program,
            [
                "-n", "-M", "prepared", "-f", script, "-c", "\(clients)", "-j", "1", "-T", "\(seconds)", "-l", "--log-prefix=\(log)", address,
            ], errors: folder + "/errors.log", limit: .seconds(seconds + 30))
        guard let tps = text.firstMatch(of: /tps = ([0-9.]+)/).flatMap({ Double($0.output.1) }) else {
            throw BenchmarkFailure("pgbench printed no result")
        }
        var times: [Double] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) where "\(folder)/\(name)".hasPrefix(log) {
            let lines = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8).utf8.split(separator: UInt8(ascii: "\n"))
            for line in lines {
                let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 3)
                if fields.count > 2, let time = Double(String(decoding: fields[2], as: UTF8.self)) { times.append(time / 1_000) }
            }
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
        guard !times.isEmpty else { throw BenchmarkFailure("pgbench wrote no log") }
        times.sort()
        return Load(perSecond: tps, p50: times[times.count / 2], p99: times[times.count * 99 / 100])
    }
}
