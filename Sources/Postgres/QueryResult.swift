import CLibpq

/// A finished result of libpq, cleared when the value goes away.
///
/// Invariant behind `@unchecked`: a PGresult never changes after it was received, and nothing here writes to it, so any thread may
/// read it (libpq manual, "Behavior in Threaded Programs").
final class QueryResult: @unchecked Sendable {
    let statement: String
    private let raw: OpaquePointer
    private let columns: [String: Int32]

    /// Takes over `raw`.
    init(_ raw: OpaquePointer, statement: String) {
        self.raw = raw
        self.statement = statement
        var columns: [String: Int32] = [:]
        for index in 0..<PQnfields(raw) {
            guard let name = PQfname(raw, index) else { continue }
            let text = String(cString: name)
            if columns[text] == nil { columns[text] = index }
        }
        self.columns = columns
    }

    deinit { PQclear(raw) }

    var count: Int32 { PQntuples(raw) }

    var affected: Int { PQcmdTuples(raw).flatMap { Int(String(cString: $0)) } ?? 0 }

    /// The command's tag, such as `COMMIT`.
    var tag: String { PQcmdStatus(raw).map { String(cString: $0) } ?? "" }

    /// The bytes live as long as this object.
    func value(row: Int32, column: String) throws(SQLReadFailure) -> SQLValue {
        guard let index = columns[column] else { throw .noSuchColumn }
        let type = PQftype(raw, index)
        guard PQgetisnull(raw, row, index) == 0 else { return SQLValue(type: type, bytes: nil) }
        return SQLValue(type: type, bytes: UnsafeRawBufferPointer(start: PQgetvalue(raw, row, index), count: Int(PQgetlength(raw, row, index))))
    }

    func rows<Row>(_ read: (RowReader) throws -> Row) throws -> [Row] {
        var rows: [Row] = []
        rows.reserveCapacity(Int(count))
        for row in 0..<count { rows.append(try read(RowReader(result: self, row: row))) }
        return rows
    }
}

extension DatabaseError {
    /// The facts of a failed result that are safe to pass on. The message, detail, hint and context fields are never read.
    init(result: OpaquePointer, statement: String) {
        func field(_ code: Character) -> String? {
            guard let ascii = code.asciiValue, let text = PQresultErrorField(result, Int32(ascii)) else { return nil }
            return String(cString: text)
        }
        // The letters of PG_DIAG_* (postgres_ext.h).
        let sqlState = field("C")
        let constraint = field("n") ?? ""
        let code: Code =
            switch sqlState {
            case "23505": .uniqueViolation(constraint: constraint)
            case "23503": .foreignKey(constraint: constraint)
            case "23514": .check(constraint: constraint)
            case "23502": .notNull(column: field("c") ?? "")
            case "40001": .serialization
            case "40P01": .deadlock
            case "42501": .insufficientPrivilege
            case "57014", "25P04", "55P03": .deadline
            case "25P02": .transactionClosed
            case nil: .unavailable
            case .some(let state)
            where state.hasPrefix("08") || state.hasPrefix("57P") || state.hasPrefix("53") || ["25P03", "25006", "58030"].contains(state):
                .unavailable
            default: .other
            }
        let position = field("P").map { "at character \($0)" } ?? ""
        self.init(code, sqlState: sqlState, statement: statement, severity: field("V"), detail: position)
    }
}
