import Foundation
import Postgres

extension SendingUsage {
    /// The columns of `sender_usage` and `pool_usage`, behind a LEFT JOIN under that alias; `init(_:)` reads them.
    static func columns(_ alias: String) -> SQL {
        SQL(
            unescaped: ["second", "minute", "hour", "day"].map { "\(alias).\($0)_start, \(alias).\($0)_used" }.joined(separator: ", ")
                + ", \(alias).new_recipients_used, \(alias).next_at")
    }

    /// No row means that nothing was ever sent.
    init(_ row: RowReader) throws {
        func window(_ name: String) throws -> Window {
            guard let start = try row.column(name + "_start", as: Date?.self) else { return Window() }
            return Window(start: start, used: try row[name + "_used"])
        }
        self.init(
            second: try window("second"), minute: try window("minute"), hour: try window("hour"), day: try window("day"),
            newRecipients: try row.column("new_recipients_used", as: Int?.self) ?? 0,
            nextAt: try row.column("next_at", as: Date?.self) ?? .distantPast)
    }
}
