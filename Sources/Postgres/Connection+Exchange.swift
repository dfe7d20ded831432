import CLibpq

extension Connection {
    /// Watches over one exchange: its deadline, the task's cancellation, and what had to be done about either.
    struct Watch {
        /// How long the server gets to answer a cancel request before the connection is given up.
        static let grace = Duration.seconds(1)

        var deadline: ContinuousClock.Instant
        /// False for a bare COMMIT or ROLLBACK: those are awaited.
        var mayCancel = true
        /// Whether losing the connection now leaves the outcome unknown.
        var commits = false
        var isCanceled = false
        var isLate = false

        /// When to act next.
        var end: ContinuousClock.Instant
        var hasAsked = false
        var request: CancelRequest?

        init(deadline: ContinuousClock.Instant) {
            self.deadline = deadline
            end = deadline + .milliseconds(20)  // the server's own statement_timeout comes first where it can
        }
    }

    /// Sends statements in one pipeline and reads their results; the first error is thrown after all have been read.
    func run(_ statements: [Statement], _ watch: inout Watch) throws -> [QueryResult] {
        var steps: [(name: String, prepares: StatementKey?)] = []
        var pending: [StatementKey: String] = [:]
        for statement in statements {
            guard statement.sql.bindings.count <= Int(UInt16.max) else {
                close()
                throw DatabaseError(.other, statement: statement.name, detail: "too many values")
            }
            let text = statement.sql.text
            var preparedName: String?
            if !settings.isPooled {
                let key = StatementKey(text: text, types: statement.sql.types)
                preparedName = prepared[key] ?? pending[key]
                if preparedName == nil, prepared.count + pending.count < Self.preparedLimit {
                    let name = "s\(prepared.count + pending.count)"
                    guard handle.sendPrepare(name, text, types: key.types) else { throw lost(statement.name, watch) }
                    pending[key] = name
                    preparedName = name
                    steps.append((statement.name, key))
                }
            }
            guard handle.sendQuery(preparedName, statement.sql, text: text) else { throw lost(statement.name, watch) }
            steps.append((statement.name, nil))
        }
        guard handle.sendSync() else { throw lost(statements.first?.name ?? "", watch) }
        return try collect(steps, pending, &watch)
    }

    private func collect(_ steps: [(name: String, prepares: StatementKey?)], _ pending: [StatementKey: String], _ watch: inout Watch) throws
        -> [QueryResult]
    {
        var results: [QueryResult] = []
        var failure: DatabaseError?
        var isStale = false
        for step in steps {
            while let raw = try nextResult(step.name, &watch) {
                switch PQresultStatus(raw) {
                case PGRES_COMMAND_OK where step.prepares != nil:
                    PQclear(raw)
                    if let key = step.prepares { prepared[key] = pending[key] }
                case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
                    results.append(QueryResult(raw, statement: step.name))
                case PGRES_PIPELINE_ABORTED:
                    PQclear(raw)
                case PGRES_FATAL_ERROR:
                    let error = DatabaseError(result: raw, statement: step.name)
                    PQclear(raw)
                    if handle.isBroken || error.severity == "FATAL" || error.severity == "PANIC" { throw lost(step.name, watch, error) }
                    if failure == nil { failure = error }
                    // The plan no longer fits its table, or the name is unknown: start afresh next time.
                    if error.sqlState == "0A000" || error.sqlState == "26000" || error.sqlState == "42P05" { isStale = true }
                    // This server takes no writes (any more): perhaps another one does.
                    if error.sqlState == "25006" { isStale = true }
                default:
                    PQclear(raw)
                    throw lost(step.name, watch)
                }
            }
        }
        guard let sync = try nextResult(steps.last?.name ?? "", &watch) else { throw lost(steps.last?.name ?? "", watch) }
        let isSync = PQresultStatus(sync) == PGRES_PIPELINE_SYNC
        PQclear(sync)
        guard isSync else { throw lost(steps.last?.name ?? "", watch) }
        settle(watch)
        guard var failure else { return results }
        if isStale { close() }
        if failure.sqlState == "57014", watch.isCanceled { throw CancellationError() }
        if failure.sqlState == "57014", watch.isLate { failure.code = .deadline }
        throw failure
    }

    /// libpq's next result, or nil at the end of a statement. Never waits beyond the deadline and its grace.
    func nextResult(_ name: String, _ watch: inout Watch) throws -> OpaquePointer? {
        while handle.isBusy {
            let unsent = handle.flush()
            if unsent < 0 {
                // The server may have said why before it hung up.
                guard handle.consumeInput(), !handle.isBusy else { throw lost(name, watch) }
                break
            }
            let interrupt = watch.mayCancel && !watch.isCanceled ? interrupt : nil
            switch handle.wait(writing: unsent == 1, interrupt: interrupt, until: watch.end) {
            case .ready:
                guard handle.consumeInput() || !handle.isBusy else { throw lost(name, watch) }
            case .interrupted:
                watch.isCanceled = true
                ask(&watch)
            case .timeOut:
                if !watch.isCanceled { watch.isLate = true }
                if watch.hasAsked { throw lost(name, watch) }
                ask(&watch)
            case .lost:
                throw lost(name, watch)
            }
        }
        return handle.nextResult()
    }

    private func ask(_ watch: inout Watch) {
        watch.hasAsked = true
        watch.end = .now + Watch.grace
        if watch.mayCancel { watch.request = handle.requestCancel() }
    }

    /// A cancel request that is still on its way would hit the next statement.
    func settle(_ watch: Watch) {
        if let request = watch.request, !request.isOver(by: watch.end) { close() }
    }

    /// Gives the connection up and says what that means for the transaction.
    func lost(_ name: String, _ watch: Watch, _ cause: DatabaseError? = nil) -> DatabaseError {
        let detail = cause == nil ? handle.failure : ""
        close()
        phase = .ended
        // An answer with a SQLSTATE to anything before COMMIT proves that COMMIT was never reached.
        let isKnown = cause?.sqlState != nil && cause?.statement != "commit"
        if watch.commits && !isKnown { return DatabaseError(.commitUnknown, sqlState: cause?.sqlState, statement: name, detail: detail) }
        if watch.isLate || watch.isCanceled { return DatabaseError(.deadline, sqlState: cause?.sqlState, statement: name, detail: detail) }
        return DatabaseError(.unavailable, sqlState: cause?.sqlState, statement: name, severity: cause?.severity, detail: detail)
    }
}
