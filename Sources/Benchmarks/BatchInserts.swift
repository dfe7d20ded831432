import Foundation
import Postgres
import Primitives

/// Multi-row inserts into the table of ``Pgbench``: the rows of one batch in one durable commit, over two connections. The ceiling of batched accepts.
struct BatchInserts {
    private static let lanes = 2

    let database: Database
    /// Rows of one commit.
    let rows: Int

    /// - Returns: rows per second; percentiles of one commit.
    func run(seconds: Int) async throws -> Load {
        let clock = ContinuousClock()
        let start = clock.now
        let end = start + .seconds(seconds)
        let times = try await withThrowingTaskGroup(of: [Double].self) { group in
            for _ in 0..<Self.lanes {
                group.addTask {
                    var times: [Double] = []
                    while clock.now < end {
                        let before = clock.now
                        try await insert()
                        times.append(before.duration(to: clock.now) / .milliseconds(1))
                    }
                    return times
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }.sorted()
        }
        guard !times.isEmpty else { throw BenchmarkFailure("nothing was inserted") }
        return Load(
            perSecond: Double(times.count * rows) / (start.duration(to: clock.now) / .seconds(1)), p50: times[times.count / 2],
            p99: times[times.count * 99 / 100])
    }

    private func insert() async throws {
        let random = SystemRandom()
        let now = Date()
        let account = UUID()
        let ids = (0..<rows).map { _ in UUID() }
        _ = try await database.execute(
            "bench.batch",
            """
            INSERT INTO bench_rows (id, account, recipient, status, body, metadata, created_at, due_at, expires_at)
            SELECT id, \(account), recipient, 0, body, metadata::jsonb, \(now), \(now), \(now.addingTimeInterval(259_200))
            FROM unnest(\(ids), \(ids.map { _ in random.bytes(8) }), \(ids.map { _ in Self.body }), \(ids.map { _ in Self.metadata }))
                AS given (id, recipient, body, metadata)
            """)
    }

    private static let body = [UInt8](repeating: 0x78, count: 200)
    private static let metadata = #"{"campaign": "november", "order": "00001234", "reference": "order-00001234", "try": 1}"#
}
