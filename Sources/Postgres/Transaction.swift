import Synchronization

/// One transaction, handed to the body of `Database.transaction`. It begins with its first statement, in the same round trip, and is
/// refused (`.transactionClosed`) after the body's end. Statements of several child tasks run one after the other.
package final class Transaction: Sendable {
    private let connection: Connection
    private let lease: UInt64
    private let prelude: TransactionPrelude
    private let asked: ContinuousClock.Instant
    /// When the whole transaction must be over.
    package let deadline: ContinuousClock.Instant
    private let stage = Mutex(Stage.untouched)

    private enum Stage { case untouched, used, over }

    init(_ connection: Connection, lease: UInt64, prelude: TransactionPrelude, asked: ContinuousClock.Instant, deadline: ContinuousClock.Instant) {
        self.connection = connection
        self.lease = lease
        self.prelude = prelude
        self.asked = asked
        self.deadline = deadline
    }

    // MARK: Statements

    /// Runs one statement and reads its rows.
    nonisolated(nonsending) package func query<Row>(_ name: String, _ sql: SQL, as read: (RowReader) throws -> Row) async throws -> [Row] {
        try await pipeline([Statement(name, sql)])[0].rows(as: read)
    }

    /// The first row, or nil if there is none.
    nonisolated(nonsending) package func queryOne<Row>(_ name: String, _ sql: SQL, as read: (RowReader) throws -> Row) async throws -> Row? {
        try await query(name, sql, as: read).first
    }

    /// Runs one statement; how many rows it touched.
    @discardableResult
    nonisolated(nonsending) package func execute(_ name: String, _ sql: SQL) async throws -> Int {
        try await pipeline([Statement(name, sql)])[0].affected
    }

    /// Sends several statements in one round trip, in this order; the results stand in the same order. The first failure is thrown and
    /// nothing after it has run.
    nonisolated(nonsending) package func pipeline(_ statements: [Statement]) async throws -> [StatementResult] {
        try await run(statements, finish: .stay)
    }

    // MARK: The last statements, together with COMMIT

    /// Sends the statements and COMMIT in one round trip. When one fails, everything is rolled back. Afterwards the transaction is over.
    @discardableResult
    nonisolated(nonsending) package func commit(with statements: [Statement]) async throws -> [StatementResult] {
        try await run(statements, finish: .commit)
    }

    /// As `query`, and COMMIT in the same round trip. Rows that cannot be read are reported after the commit.
    nonisolated(nonsending) package func lastQuery<Row>(_ name: String, _ sql: SQL, as read: (RowReader) throws -> Row) async throws -> [Row] {
        try await run([Statement(name, sql)], finish: .commit)[0].rows(as: read)
    }

    /// As `execute`, and COMMIT in the same round trip.
    @discardableResult
    nonisolated(nonsending) package func lastStatement(_ name: String, _ sql: SQL) async throws -> Int {
        try await run([Statement(name, sql)], finish: .commit)[0].affected
    }

    // MARK: For this room

    /// Runs a script of several statements inside the transaction; for migrations.
    nonisolated(nonsending) func script(_ name: String, _ text: String) async throws {
        guard !isOver else { throw DatabaseError(.transactionClosed, statement: name) }
        let exchange = exchange([])
        try await cancellable { try await self.connection.script(exchange, name: name, text: text) }
    }

    /// Commits what was done, if anything was and it is not committed yet.
    nonisolated(nonsending) func finish() async throws {
        if stage.withLock({ $0 }) == .used { _ = try await run([], finish: .commit) }
        stage.withLock { $0 = .over }
    }

    nonisolated(nonsending) func rollBack() async {
        let wasUsed = stage.withLock { stage in
            defer { stage = .over }
            return stage == .used
        }
        // A failing ROLLBACK closes the connection, and that rolls back too.
        if wasUsed { _ = try? await connection.perform(exchange([], finish: .rollback)) }
    }

    private var isOver: Bool { stage.withLock { $0 == .over } }

    private func exchange(_ statements: [Statement], finish: Connection.Exchange.Finish = .stay) -> Connection.Exchange {
        Connection.Exchange(lease: lease, prelude: prelude, statements: statements, finish: finish, asked: asked, deadline: deadline)
    }

    nonisolated(nonsending) private func run(_ statements: [Statement], finish: Connection.Exchange.Finish) async throws -> [StatementResult] {
        guard !statements.isEmpty || finish != .stay else { return [] }
        let isRefused = stage.withLock { stage in
            guard stage != .over else { return true }
            stage = finish == .stay ? .used : .over
            return false
        }
        guard !isRefused else { throw DatabaseError(.transactionClosed, statement: statements.first?.name ?? "commit") }
        let exchange = exchange(statements, finish: finish)
        let results = try await cancellable { try await self.connection.perform(exchange) }
        guard results.count == statements.count else {
            throw DatabaseError(.other, statement: statements.first?.name ?? "", detail: "results missing")
        }
        return results.map(StatementResult.init)
    }

    nonisolated(nonsending) private func cancellable<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        let interrupt = connection.interrupt
        return try await withTaskCancellationHandler(operation: body) { interrupt.signal() }
    }
}
