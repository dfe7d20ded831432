import CLibpq
import Logging
import Synchronization

/// One connection to PostgreSQL that opens itself when it is needed and again after it was lost.
/// libpq blocks its caller, so the actor runs on a thread of its own and never holds up the shared pool.
actor Connection {
    nonisolated let executor: BlockingExecutor
    nonisolated let interrupt = Interrupt()
    nonisolated let opened = Atomic(false)
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let settings: ConnectionSettings
    let backoff: Backoff
    var handle = ConnectionHandle()
    /// Names of prepared statements by text and types. When it is full, further statements are sent unnamed.
    var prepared: [StatementKey: String] = [:]
    static let preparedLimit = 512

    /// Which use of this connection is running; what carries an older number is refused.
    var lease: UInt64 = 0
    var phase = Phase.idle

    enum Phase { case idle, open, failed, ended }

    struct StatementKey: Hashable {
        var text: String
        var types: [UInt32]
    }

    init(_ settings: ConnectionSettings, backoff: Backoff) {
        self.settings = settings
        self.backoff = backoff
        executor = BlockingExecutor(label: settings.name)
    }

    deinit { executor.stop() }

    /// Whether there was a server at the other end when this was last used.
    nonisolated var isOpen: Bool { opened.load(ordering: .relaxed) }

    func close() {
        opened.store(false, ordering: .relaxed)
        handle.close()
        prepared = [:]
    }

    /// A part of a transaction: sent at once, answered at once, one round trip.
    struct Exchange: Sendable {
        var lease: UInt64
        var prelude: TransactionPrelude
        var statements: [Statement] = []
        var finish = Finish.stay
        /// When whoever wants this began to wait for it.
        var asked: ContinuousClock.Instant
        var deadline: ContinuousClock.Instant

        enum Finish { case stay, commit, rollback }
    }

    /// Sends the exchange (with BEGIN before it if the transaction has not begun) and gives each statement's result.
    /// Throws the first statement's error; with `.commit` the transaction has then been rolled back.
    func perform(_ exchange: Exchange) throws -> [QueryResult] {
        interrupt.drain()
        try enter(exchange)
        if exchange.finish == .rollback { return try rollback() }
        try Task.checkCancellation()
        let isFirst = phase == .idle
        if isFirst { try open(for: exchange.asked, until: exchange.deadline) }
        do {
            return try send(exchange)
        } catch let error as DatabaseError where error.code == .unavailable && isFirst && exchange.finish == .stay && !handle.isOpen {
            // The server went away since the connection was last used. Nothing was committed, so once more on a new one.
            try open(for: exchange.asked, until: exchange.deadline)
            phase = .idle
            return try send(exchange)
        }
    }

    /// Runs a script by the simple protocol: in the open transaction of this lease, or on its own, outside of any transaction.
    func script(_ exchange: Exchange, name: String, text: String) throws {
        interrupt.drain()
        try enter(exchange)
        try Task.checkCancellation()
        if phase == .idle { try open(for: exchange.asked, until: exchange.deadline) }
        guard phase != .failed else { throw DatabaseError(.transactionClosed, statement: name) }
        var watch = Watch(deadline: exchange.deadline)
        guard handle.leavePipeline(), handle.sendScript(text) else { throw lost(name, watch) }
        var failure: DatabaseError?
        while let result = try nextResult(name, &watch) {
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_FATAL_ERROR, failure == nil { failure = DatabaseError(result: result, statement: name) }
        }
        settle(watch)
        guard handle.isOpen, handle.enterPipeline() else { throw lost(name, watch) }
        if let failure {
            if phase == .open { phase = .failed }
            throw watch.isCanceled ? CancellationError() : failure
        }
        if phase == .open, !handle.isInTransaction {
            phase = .ended
            throw DatabaseError(.transactionClosed, statement: name, detail: "the script ended its transaction")
        }
    }

    private func enter(_ exchange: Exchange) throws {
        if exchange.lease > lease {
            if phase != .idle && phase != .ended { close() }  // the last user left a transaction open: cannot be trusted
            lease = exchange.lease
            phase = .idle
        }
        guard exchange.lease == lease, phase != .ended else { throw DatabaseError(.transactionClosed) }
    }

    private func rollback() throws -> [QueryResult] {
        let wasOpen = phase == .open || phase == .failed
        phase = .ended
        guard wasOpen, handle.isOpen else { return [] }
        var watch = Watch(deadline: .now + .seconds(2))
        watch.mayCancel = false
        let statement = Statement("rollback", "ROLLBACK")
        do {
            _ = try run([statement], &watch)
        } catch {
            close()
        }
        return []
    }

    private func send(_ exchange: Exchange) throws -> [QueryResult] {
        let remaining = exchange.deadline - .now
        let name = exchange.statements.first?.name ?? "commit"
        guard remaining > .zero else { throw DatabaseError(.deadline, statement: name) }
        guard phase != .failed else {
            if exchange.finish == .commit { _ = try rollback() }
            throw DatabaseError(.transactionClosed, statement: name, detail: "an earlier statement failed")
        }
        var statements: [Statement] = []
        if phase == .idle { statements = exchange.prelude.statements(remaining: remaining) }
        let skipped = statements.count
        statements += exchange.statements
        let commits = exchange.finish == .commit
        if commits { statements.append(Statement("commit", "COMMIT")) }
        phase = .open
        var watch = Watch(deadline: exchange.deadline)
        watch.mayCancel = !(commits && exchange.statements.isEmpty)
        watch.commits = commits && exchange.prelude.access == .readWrite
        do {
            var results = try run(statements, &watch)
            if commits {
                phase = .ended
                guard results.popLast()?.tag == "COMMIT" else {
                    throw DatabaseError(.transactionClosed, statement: name, detail: "an earlier statement failed")
                }
            }
            return Array(results.dropFirst(skipped))
        } catch {
            if phase == .open { phase = .failed }
            if commits && phase == .failed { _ = try rollback() }
            throw error
        }
    }
}
