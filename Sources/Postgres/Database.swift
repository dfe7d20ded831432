package import Logging
import ServiceLifecycle

/// PostgreSQL, as the rooms above see it: named statements and transactions over a pool of connections.
///
/// Every call has a deadline that covers the wait for a connection, connecting, and the statements; the server gets it as
/// `statement_timeout`, and a server that does not answer is given up a second later. When PostgreSQL is away, calls wait for it up to
/// `patience`, then fail with `.unavailable`; when it is back they work again, nothing has to be restarted.
package final class Database: Service, Sendable {
    package struct Configuration: Sendable {
        /// `postgres://…` or `key=value …`. Beyond loopback TLS with `verify-full` is used unless the URL says `sslmode=require` or `disable`.
        package var url: String
        /// How many connections at most, each with a thread of its own.
        package var connections: Int
        /// Shown as `application_name`.
        package var name: String
        /// Behind a transaction pooler: statements stay unnamed.
        package var pooler: Bool
        /// How many callers may wait for a connection before the next one is refused with `.unavailable`.
        package var queueLimit: Int
        /// How long one attempt to connect may take.
        package var connectTimeout: Duration
        /// How long a call waits for a server that cannot be reached, with its wait for a connection.
        package var patience: Duration
        /// What a call may take that names no deadline of its own.
        package var deadline: Duration
        /// What is known about the database's history; all pools of a process share one.
        package var lineage: Lineage

        package init(
            url: String, connections: Int = 8, name: String = "gateway", pooler: Bool = false, queueLimit: Int = 4_096,
            connectTimeout: Duration = .seconds(5), patience: Duration = .milliseconds(1_500), deadline: Duration = .seconds(5),
            lineage: Lineage = Lineage()
        ) {
            self.url = url
            self.connections = max(1, connections)
            self.name = name
            self.pooler = pooler
            self.queueLimit = queueLimit
            self.connectTimeout = connectTimeout
            self.patience = patience
            self.deadline = deadline
            self.lineage = lineage
        }
    }

    private let pool: ConnectionPool
    private let defaultDeadline: Duration

    /// Connects when first used.
    package init(_ configuration: Configuration, logger: Logger) {
        defaultDeadline = configuration.deadline
        pool = ConnectionPool(
            ConnectionSettings(configuration, logger: logger), count: configuration.connections, queueLimit: configuration.queueLimit)
    }

    /// Lives until shutdown, then closes. The database is usable before and without it.
    package func run() async throws {
        try? await gracefulShutdown()  // cancelled instead: the same end
        await close()
    }

    /// Refuses new calls and returns when the running ones are over and all connections are closed.
    package func close() async { await pool.close() }

    /// How busy the pool is, for metrics.
    package struct Load: Hashable, Sendable {
        /// Connections that may be open at most.
        package var connections: Int
        /// Of these, in use at this moment.
        package var busy: Int
        /// Callers that wait for one.
        package var waiting: Int
    }

    package var load: Load { pool.load }

    // MARK: Transactions

    /// Runs `body` in one transaction and commits when it returns; rolls back when it throws or its task is cancelled.
    /// A body that sends no statement costs nothing. `settings` hold for this transaction only and travel with BEGIN and the first statement.
    @discardableResult
    nonisolated(nonsending) package func transaction<Result: Sendable>(
        _ settings: [TransactionSetting] = [], deadline: Duration? = nil, isolation: TransactionIsolation = .readCommitted,
        access: TransactionAccess = .readWrite, _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        let asked = ContinuousClock.now
        let end = asked + (deadline ?? defaultDeadline)
        let lease = try await pool.acquire(until: end)
        let prelude = TransactionPrelude(settings: settings, isolation: isolation, access: access)
        let transaction = Transaction(lease.connection, lease: lease.number, prelude: prelude, asked: asked, deadline: end)
        do {
            let result = try await body(transaction)
            try await transaction.finish()
            await pool.release(lease)
            return result
        } catch {
            await transaction.rollBack()
            await pool.release(lease)
            throw error
        }
    }

    // MARK: Single statements, each a transaction in one round trip; again when it lost a conflict with another transaction

    /// Runs one statement and reads its rows. Say `access: .readOnly` where nothing is written: a lost connection is then `.unavailable`.
    nonisolated(nonsending) package func query<Row>(
        _ name: String, _ sql: SQL, settings: [TransactionSetting] = [], deadline: Duration? = nil, access: TransactionAccess = .readWrite,
        as read: (RowReader) throws -> Row
    ) async throws -> [Row] {
        let results = try await DatabaseError.outlivingConflicts {
            try await transaction(settings, deadline: deadline, access: access) { try await $0.commit(with: [Statement(name, sql)]) }
        }
        return try results[0].rows(as: read)
    }

    /// The first row, or nil if there is none.
    nonisolated(nonsending) package func queryOne<Row>(
        _ name: String, _ sql: SQL, settings: [TransactionSetting] = [], deadline: Duration? = nil, access: TransactionAccess = .readWrite,
        as read: (RowReader) throws -> Row
    ) async throws -> Row? {
        try await query(name, sql, settings: settings, deadline: deadline, access: access, as: read).first
    }

    /// Runs one statement; how many rows it touched.
    @discardableResult
    nonisolated(nonsending) package func execute(
        _ name: String, _ sql: SQL, settings: [TransactionSetting] = [], deadline: Duration? = nil
    ) async throws -> Int {
        try await DatabaseError.outlivingConflicts {
            try await transaction(settings, deadline: deadline) { try await $0.lastStatement(name, sql) }
        }
    }

    /// Runs a text of ours outside of any transaction block, for what PostgreSQL refuses inside one: CREATE DATABASE, VACUUM. The deadline is
    /// kept by this side alone.
    nonisolated(nonsending) package func executeOutsideTransaction(_ name: String, _ text: String, deadline: Duration = .seconds(60)) async throws {
        let asked = ContinuousClock.now
        let end = asked + deadline
        let lease = try await pool.acquire(until: end)
        let prelude = TransactionPrelude(settings: [], isolation: .readCommitted, access: .readWrite)
        let transaction = Transaction(lease.connection, lease: lease.number, prelude: prelude, asked: asked, deadline: end)
        do {
            try await transaction.script(name, text)
            await pool.release(lease)
        } catch {
            await pool.release(lease)
            throw error
        }
    }
}

extension ConnectionSettings {
    init(_ configuration: Database.Configuration, logger: Logger) {
        self.init(
            url: configuration.url, name: configuration.name, isPooled: configuration.pooler, connectTimeout: configuration.connectTimeout,
            patience: configuration.patience, log: logger, lineage: configuration.lineage)
    }
}
