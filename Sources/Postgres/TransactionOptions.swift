/// A setting that holds until the end of the transaction: `set_config(name, value, true)`, sent together with BEGIN.
package struct TransactionSetting: Hashable, Sendable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// How much a transaction sees of what others commit meanwhile (PostgreSQL manual, chapter 13.2).
package enum TransactionIsolation: String, Sendable {
    case readCommitted = "READ COMMITTED"
    case repeatableRead = "REPEATABLE READ"
    case serializable = "SERIALIZABLE"
}

/// Whether a transaction may write. A lost connection during a read-only one is `.unavailable`, never `.commitUnknown`.
package enum TransactionAccess: Sendable {
    /// If the server lets anybody write: where `default_transaction_read_only` is on, it does not.
    case readWrite
    case readOnly
}

/// One named statement of a pipeline. The name is for logs and metrics, a constant.
package struct Statement: Sendable {
    package var name: String
    package var sql: SQL

    package init(_ name: String, _ sql: SQL) {
        self.name = name
        #if DEBUG
            self.sql = StatementSabotage.altered(name, sql)
        #else
            self.sql = sql
        #endif
    }
}

/// What a transaction begins with; travels with its first statement.
struct TransactionPrelude: Sendable {
    var settings: [TransactionSetting]
    var isolation: TransactionIsolation
    var access: TransactionAccess

    /// BEGIN and the settings, with the deadline as the server's own limits.
    func statements(remaining: Duration) -> [Statement] {
        let milliseconds = max(1, remaining.milliseconds)
        var sql: SQL = """
            SELECT set_config('statement_timeout', \(String(milliseconds)), true), \
            set_config('idle_in_transaction_session_timeout', \(String(milliseconds + 1_000)), true)
            """
        for setting in settings { sql.append(", set_config(\(setting.name), \(setting.value), true)") }
        return [
            Statement("begin", SQL(unescaped: "BEGIN ISOLATION LEVEL \(isolation.rawValue)\(access == .readOnly ? " READ ONLY" : "")")),
            Statement("begin.settings", sql),
        ]
    }
}

extension Duration {
    /// Whole milliseconds, rounded up, at least 0 and at most what PostgreSQL's settings take (2^31 - 1, less a second).
    /// Never negative, not even for a few milliseconds past a deadline: `poll` would take that for "wait for ever".
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        guard seconds < 2_000_000 else { return 2_000_000_000 }
        guard seconds >= 0, attoseconds > 0 || seconds > 0 else { return 0 }
        return Int(seconds) * 1_000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
