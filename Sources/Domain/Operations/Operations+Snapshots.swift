import Postgres

extension Operations {
    /// How many transactions ago the oldest snapshot was taken that keeps old rows from being removed; 0: there is none. Somebody's open report, a
    /// prepared transaction's or a replica's long query: with its age every look into a queue gets slower.
    package func snapshotAge(deadline: Duration = .seconds(2)) async throws -> Int {
        try await database.queryOne(
            "operations.snapshotAge",
            "SELECT coalesce(max(age(backend_xmin)), 0)::bigint AS age FROM pg_stat_activity WHERE pid <> pg_backend_pid()", deadline: deadline,
            access: .readOnly
        ) { Int(try $0.column("age", as: Int64.self)) } ?? 0
    }
}
