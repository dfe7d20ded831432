/// What went wrong in the database, in facts that are safe in a log: no bound value, no row, nothing of the server's own words.
package struct DatabaseError: Error, Hashable, Sendable {
    package enum Code: Hashable, Sendable {
        /// The server cannot be reached, refuses connections, or went away before anything was committed; or too many are waiting.
        case unavailable
        /// The deadline passed. Nothing was committed.
        case deadline
        /// The connection was lost while COMMIT was on its way: it may or may not have happened. Look before you repeat.
        case commitUnknown
        case uniqueViolation(constraint: String)
        case foreignKey(constraint: String)
        case check(constraint: String)
        case notNull(column: String)
        /// Two transactions read and wrote across each other; running the whole transaction again is right.
        case serialization
        case deadlock
        /// The role may not do this, or a row-level security policy refused the row.
        case insufficientPrivilege
        /// A column is missing, NULL, of another type, or holds what the Swift type cannot; `detail` names the column.
        case unreadable
        /// The transaction is over, or an earlier statement of it failed.
        case transactionClosed
        case other

        /// A constant, fit for a metric label.
        package var label: String {
            switch self {
            case .unavailable: "unavailable"
            case .deadline: "deadline"
            case .commitUnknown: "commit_unknown"
            case .uniqueViolation: "unique_violation"
            case .foreignKey: "foreign_key"
            case .check: "check"
            case .notNull: "not_null"
            case .serialization: "serialization"
            case .deadlock: "deadlock"
            case .insufficientPrivilege: "insufficient_privilege"
            case .unreadable: "unreadable"
            case .transactionClosed: "transaction_closed"
            case .other: "other"
            }
        }
    }

    package var code: Code
    /// The five characters of the SQL standard, when the server gave an answer at all.
    package var sqlState: String?
    /// The statement's name as given by the caller.
    package var statement: String
    /// `ERROR`, `FATAL` or `PANIC`.
    package var severity: String?
    /// A constant phrase of ours, or the name of a column; for the log.
    package var detail: String

    package init(_ code: Code, sqlState: String? = nil, statement: String = "", severity: String? = nil, detail: String = "") {
        self.code = code
        self.sqlState = sqlState
        self.statement = statement
        self.severity = severity
        self.detail = detail
    }

    /// Whether the same thing, tried again a little later, may well succeed, and trying cannot do it twice.
    package var isTransient: Bool {
        switch code {
        case .unavailable, .deadline, .serialization, .deadlock: true
        default: false
        }
    }

    /// Whether no server could be reached, over as long as the call might wait for one.
    package var isServerAway: Bool { statement == Self.connecting }

    /// The statement's name of errors that stem from connecting.
    static let connecting = "connect"
}

extension DatabaseError {
    /// How often something is tried that loses conflicts with other transactions.
    private static let tries = 3

    /// Whether PostgreSQL ended the transaction because it stood in another one's way, or the other way round.
    package var isConflict: Bool { code == .deadlock || code == .serialization }

    /// Runs `body` again, after a short pause of random length, when it lost a conflict: nothing of it was committed then. Three times in all.
    nonisolated(nonsending) static func outlivingConflicts<Result>(_ body: () async throws -> Result) async throws -> Result {
        for attempt in 1..<tries {
            do { return try await body() } catch let error as DatabaseError where error.isConflict {
                try await ContinuousClock().sleep(for: .milliseconds(Int.random(in: 1...20) * attempt))
            }
        }
        return try await body()
    }
}

extension DatabaseError: CustomStringConvertible {
    package var description: String {
        var text = "DatabaseError(\(code)"
        if !statement.isEmpty { text += ", statement: \(statement)" }
        if let sqlState { text += ", sqlState: \(sqlState)" }
        if !detail.isEmpty { text += ", \(detail)" }
        return text + ")"
    }
}

extension DatabaseError {
    /// What a log line may say of any error: one of ours in its own words, of others the type alone, whose text could hold anything.
    package static func code(of error: any Error) -> String { (error as? DatabaseError)?.description ?? "\(type(of: error))" }
}
