/// One step of the schema: a plain SQL file, run once and never edited afterwards.
package struct Migration: Hashable, Sendable {
    /// Ascending, without regard to gaps.
    package var version: Int
    /// What it does, as in its file's name.
    package var name: String
    package var sql: String

    package init(version: Int, name: String, sql: String) {
        self.version = version
        self.name = name
        self.sql = sql
    }
}

/// Why the schema cannot be brought up to date; the process must not start.
package enum MigrationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An applied migration's text is not the one that was applied.
    case changed(version: Int)
    /// Applied, not ours, and older than our newest one. (A newer gateway's migrations only add, so an older one works beside them.)
    case unknown(version: Int)
    /// It should have been applied before one that already is.
    case outOfOrder(version: Int)
    /// Two migrations with one number.
    case duplicate(version: Int)
    case failed(version: Int, name: String, DatabaseError)

    package var description: String {
        switch self {
        case .changed(let version):
            "migration \(version) was changed after it was applied to this database; run the gateway that belongs to it"
        case .unknown(let version):
            "migration \(version) was applied to this database and is unknown here; it belongs to another gateway, or to another branch of this one"
        case .outOfOrder(let version):
            "migration \(version) should have been applied before others that already are; restore the database, or the record in gateway_migrations"
        case .duplicate(let version): "two migrations have the number \(version)"
        case .failed(let version, let name, let error): "migration \(version) (\(name)) failed, nothing of it was applied: \(error)"
        }
    }

    /// Somebody else held a lock that it needed.
    fileprivate var isBlocked: Bool {
        guard case .failed(_, _, let error) = self else { return false }
        return error.sqlState == "55P03" || error.isConflict
    }
}

/// Brings the schema up to date. Any number of nodes may do it at once: the first one works, the others wait and find it done.
/// Applied versions stand in `gateway_migrations` with the SHA-256 of their text.
package struct Migrator: Sendable {
    private let database: Database
    private let migrations: [Migration]

    /// Any fixed number will do; all nodes must use the same.
    private static let lock: Int64 = 0x6761_7465_7761_7901

    /// How long a migration waits for a lock. While it waits, everybody else who wants that table waits behind it, so it tries again instead.
    private static let lockLimit = TransactionSetting("lock_timeout", "1s")
    /// What goes on between two tries, in milliseconds.
    private static let pauses = 1_000...2_000

    package init(database: Database, migrations: [Migration]) {
        self.database = database
        self.migrations = migrations.sorted { $0.version < $1.version }
    }

    /// Applies what is missing, each migration in a transaction of its own, and returns what it applied. A migration that cannot have its locks
    /// within a second lets the others go first and tries again, until the deadline. Throws `MigrationError` with everything before the failing
    /// migration applied.
    @discardableResult
    package func migrate(deadline: Duration = .seconds(600)) async throws -> [Migration] {
        for (migration, next) in zip(migrations, migrations.dropFirst()) where migration.version == next.version {
            throw MigrationError.duplicate(version: next.version)
        }
        let end = ContinuousClock.now + deadline
        var applied: [Migration] = []
        while true {
            do {
                guard let migration = try await applyNext(deadline) else { return applied }
                applied.append(migration)
            } catch let error as MigrationError where error.isBlocked && ContinuousClock.now < end {
                try await ContinuousClock().sleep(for: .milliseconds(Int.random(in: Self.pauses)))
            }
        }
    }

    /// Applies the first missing migration, if there is one.
    private func applyNext(_ deadline: Duration) async throws -> Migration? {
        try await database.transaction(deadline: deadline) { transaction in
            try await transaction.execute("migrations.lock", "SELECT pg_advisory_xact_lock(\(Self.lock))")
            try await transaction.execute(
                "migrations.table",
                """
                CREATE TABLE IF NOT EXISTS gateway_migrations (
                    version bigint PRIMARY KEY,
                    name text NOT NULL,
                    checksum bytea NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT now()
                )
                """)
            guard let migration = try await missing(transaction).first else { return nil }
            try await transaction.execute(
                "migrations.patience", "SELECT set_config(\(Self.lockLimit.name), \(Self.lockLimit.value), true)")
            do {
                try await transaction.script("migration \(migration.version)", migration.sql)
            } catch let error as DatabaseError {
                throw MigrationError.failed(version: migration.version, name: migration.name, error)
            }
            try await transaction.lastStatement(
                "migrations.record",
                """
                INSERT INTO gateway_migrations (version, name, checksum)
                VALUES (\(migration.version), \(migration.name), sha256(convert_to(\(migration.sql), 'UTF8')))
                """)
            return migration
        }
    }

    /// Compares what is applied with what we have, in one look.
    private func missing(_ transaction: Transaction) async throws -> [Migration] {
        let known = try await transaction.query(
            "migrations.compare",
            """
            SELECT coalesce(ours.version, applied.version) AS version, ours.version IS NOT NULL AS is_ours, applied.version IS NOT NULL AS is_applied,
                   applied.checksum = sha256(convert_to(ours.sql, 'UTF8')) AS is_same
            FROM unnest(\(migrations.map(\.version)), \(migrations.map(\.sql))) AS ours (version, sql)
            FULL JOIN gateway_migrations AS applied ON applied.version = ours.version
            ORDER BY 1
            """
        ) { row in
            (
                version: try row.column("version", as: Int.self), isOurs: try row.column("is_ours", as: Bool.self),
                isApplied: try row.column("is_applied", as: Bool.self), isSame: try row.column("is_same", as: Bool?.self)
            )
        }
        let newest = known.last { $0.isApplied && $0.isOurs }?.version
        for step in known {
            if !step.isOurs {
                guard let last = migrations.last?.version, step.version > last else { throw MigrationError.unknown(version: step.version) }
                continue
            }
            if step.isApplied && step.isSame != true { throw MigrationError.changed(version: step.version) }
            if !step.isApplied, let newest, step.version < newest { throw MigrationError.outOfOrder(version: step.version) }
        }
        let missing = Set(known.filter { !$0.isApplied }.map(\.version))
        return migrations.filter { missing.contains($0.version) }
    }
}
