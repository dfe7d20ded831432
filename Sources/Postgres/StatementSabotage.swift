#if DEBUG
    import Foundation

    /// Deliberate mistakes in statements, which the proofs must notice; no release build has them. `SABOTAGE_SQL` names a JSON file:
    /// `[{"statement": "outbox.claim", "find": "…", "replace": "…"}]`. A text that is not found ends the process, so that no proof passes
    /// because its mistake was never made.
    struct StatementSabotage: Decodable {
        let statement: String
        let find: String
        let replace: String

        private static let all: [StatementSabotage] = {
            guard let path = ProcessInfo.processInfo.environment["SABOTAGE_SQL"], let json = FileManager.default.contents(atPath: path) else {
                return []
            }
            guard let read = try? JSONDecoder().decode([StatementSabotage].self, from: json) else { fatalError("SABOTAGE_SQL cannot be read") }
            return read
        }()

        static func altered(_ name: String, _ sql: SQL) -> SQL {
            var sql = sql
            for sabotage in all where sabotage.statement == name {
                guard sql.replace(sabotage.find, with: sabotage.replace) else { fatalError("nothing to sabotage in \(name)") }
            }
            return sql
        }
    }

    extension SQL {
        /// Replaces a text between values. False: it does not occur.
        fileprivate mutating func replace(_ text: String, with other: String) -> Bool {
            var isFound = false
            pieces = pieces.map { piece in
                isFound = isFound || piece.contains(text)
                return piece.replacing(text, with: other)
            }
            return isFound
        }
    }
#endif
