/// One row, read by column name inside the closure given to `query(_:_:as:)`; it does not outlive that closure.
/// Every misfit (no such column, NULL, other type, number too large) is a `DatabaseError` with code `.unreadable`, never a trap.
package struct RowReader {
    let result: QueryResult
    let row: Int32

    /// The column's value. `Optional` types take NULL as nil; all others refuse it.
    package func column<Value: SQLReadable>(_ name: String, as: Value.Type = Value.self) throws -> Value {
        do {
            return try Value.decode(result.value(row: row, column: name))
        } catch {
            throw DatabaseError(.unreadable, statement: result.statement, detail: "column \(name): \(error)")
        }
    }

    package subscript<Value: SQLReadable>(_ name: String) -> Value {
        get throws { try column(name) }
    }
}

/// What one statement of a pipeline gave.
package struct StatementResult: Sendable {
    let result: QueryResult

    /// How many rows were inserted, updated, deleted or returned.
    package var affected: Int { result.affected }

    /// The rows, each read by `read`.
    package func rows<Row>(as read: (RowReader) throws -> Row) throws -> [Row] { try result.rows(read) }
}
