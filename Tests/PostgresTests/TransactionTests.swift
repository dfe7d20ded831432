import Foundation
import Testing

@testable import Postgres

@Suite struct TransactionTests {
    private struct Stop: Error {}

    @Test func `what the body wrote is there after it, and gone when it throws`() async throws {
        try await withDatabase { database, _ in
            try await database.execute("table", "CREATE TABLE item (id int8 PRIMARY KEY)")
            try await database.transaction { try await $0.execute("insert", "INSERT INTO item VALUES (\(1))") }
            await #expect(throws: Stop.self) {
                try await database.transaction { transaction in
                    try await transaction.execute("insert", "INSERT INTO item VALUES (\(2))")
                    throw Stop()
                }
            }
            #expect(try await ids(database) == [1])
        }
    }

    @Test func `a cancelled task stops its statement at once and rolls back`() async throws {
        try await withDatabase(connections: 1) { database, test in
            try await database.execute("table", "CREATE TABLE item (id int8 PRIMARY KEY)")
            let (inserted, signal) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await database.transaction(deadline: .seconds(60)) { transaction in
                    try await transaction.execute("insert", "INSERT INTO item VALUES (\(1))")
                    signal.yield()
                    try await transaction.execute("wait", "SELECT pg_sleep(60)")
                }
            }
            for await _ in inserted { break }
            let start = ContinuousClock.now
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(ContinuousClock.now - start < .seconds(50))
            #expect(try await ids(database) == [])
        }
    }

    @Test func `settings hold inside and are gone after`() async throws {
        try await withDatabase(connections: 1) { database, _ in
            func setting(_ transaction: Transaction) async throws -> String? {
                try await transaction.queryOne("setting", "SELECT current_setting('gateway.accounts', true) AS v") { try $0["v"] as String? } ?? nil
            }
            let inside = try await database.transaction([TransactionSetting("gateway.accounts", "{a,b}")]) { try await setting($0) }
            let after = try await database.transaction { try await setting($0) }
            #expect(inside == "{a,b}")
            #expect(after?.isEmpty ?? true)
        }
    }

    @Test func `a pipeline stops at its first failure and names it, and the commit with it is undone`() async throws {
        try await withDatabase { database, _ in
            try await database.execute("table", "CREATE TABLE item (id int8 PRIMARY KEY)")
            let statements = [1, 2, 2, 3].map { Statement("insert.\($0)", "INSERT INTO item VALUES (\($0))") }
            let error = try await databaseError { try await database.transaction { try await $0.commit(with: statements) } }
            #expect(error?.code == .uniqueViolation(constraint: "item_pkey"))
            #expect(error?.statement == "insert.2")
            #expect(try await ids(database) == [])
            let results = try await database.transaction { try await $0.commit(with: [statements[0], statements[1]]) }
            #expect(results.map(\.affected) == [1, 1])
            #expect(try await ids(database) == [1, 2])
        }
    }

    @Test func `a swallowed error does not commit the rest`() async throws {
        try await withDatabase { database, _ in
            try await database.execute("table", "CREATE TABLE item (id int8 PRIMARY KEY)")
            let error = try await databaseError {
                try await database.transaction { transaction in
                    try await transaction.execute("insert", "INSERT INTO item VALUES (1)")
                    _ = try? await transaction.execute("bad", "SELECT 1 / 0")
                }
            }
            #expect(error?.code == .transactionClosed)
            #expect(try await ids(database) == [])
        }
    }

    @Test func `a deferred constraint fails at commit with its name`() async throws {
        try await withDatabase { database, _ in
            try await database.execute("table", "CREATE TABLE item (id int8 CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            let error = try await databaseError { try await database.execute("insert", "INSERT INTO item VALUES (1), (1)") }
            #expect(error?.code == .uniqueViolation(constraint: "once"))
            #expect(try await ids(database) == [])
        }
    }

    @Test func `a transaction kept beyond its body is refused`() async throws {
        try await withDatabase(connections: 1) { database, _ in
            let kept = try await database.transaction { transaction in
                try await transaction.execute("one", "SELECT 1")
                return transaction
            }
            #expect(try await databaseError { try await kept.execute("late", "SELECT 1") }?.code == .transactionClosed)
        }
    }

    @Test func `a statement beyond the deadline ends with it, and the connection goes on`() async throws {
        try await withDatabase(connections: 1) { database, _ in
            let start = ContinuousClock.now
            let error = try await databaseError { try await database.execute("slow", "SELECT pg_sleep(30)", deadline: .milliseconds(100)) }
            #expect(error?.code == .deadline)
            #expect(error?.isTransient == true)
            #expect(ContinuousClock.now - start < .seconds(25))
            let late = try await databaseError {
                try await database.transaction(deadline: .seconds(5)) { transaction in
                    try await transaction.execute("short", "SELECT 1")
                    try await transaction.execute("long", "SELECT pg_sleep(30)")
                }
            }
            #expect(late?.code == .deadline)
            #expect(late?.statement == "long")
            #expect(try await database.query("one", "SELECT 1 AS v") { try $0["v"] as Int } == [1])
        }
    }

    @Test func `errors carry the constraint and the statement, never a value`() async throws {
        try await withDatabase { database, _ in
            let secret = "canary-628123456789"
            try await database.executeOutsideTransaction(
                "tables",
                """
                CREATE TABLE parent (id text PRIMARY KEY);
                CREATE TABLE item (id text PRIMARY KEY, parent text CONSTRAINT has_parent REFERENCES parent, n int8 CONSTRAINT small CHECK (n < 10), m int8 NOT NULL DEFAULT 0);
                """)
            try await database.execute("item.insert", "INSERT INTO item (id) VALUES (\(secret))")
            let cases: [(SQL, DatabaseError.Code)] = [
                ("INSERT INTO item (id) VALUES (\(secret))", .uniqueViolation(constraint: "item_pkey")),
                ("INSERT INTO item (id, parent) VALUES ('a', \(secret))", .foreignKey(constraint: "has_parent")),
                ("INSERT INTO item (id, n) VALUES (\(secret + "b"), 628123456789)", .check(constraint: "small")),
                ("INSERT INTO item (id, m) VALUES (\(secret + "c"), NULL)", .notNull(column: "m")),
                ("SELECT \(secret)::int8", .other),
                ("SELECT * FROM no_such_table WHERE id = \(secret)", .other),
            ]
            for (sql, code) in cases {
                let error = try #require(try await databaseError { try await database.execute("item.insert", sql) })
                #expect(error.code == code)
                #expect(error.statement == "item.insert")
                #expect(!"\(error)".contains("628123") && !String(reflecting: error).contains("canary"))
            }
        }
    }

    @Test func `serialization failures and missing rights have codes of their own`() async throws {
        try await withDatabase { database, test in
            try await database.executeOutsideTransaction("tables", "CREATE TABLE item (id int8); CREATE ROLE \(test.name)_reader LOGIN")
            let reader = test.open(role: "\(test.name)_reader", connections: 1)
            let refused = try await databaseError { try await reader.execute("read", "SELECT id FROM item") }
            await reader.close()
            #expect(refused?.code == .insufficientPrivilege)
            let error = try await databaseError {
                try await database.transaction(isolation: .serializable) { first in
                    try await first.execute("count", "SELECT count(*) FROM item")
                    try await database.transaction(isolation: .serializable) { second in
                        try await second.execute("count", "SELECT count(*) FROM item")
                        try await second.execute("insert", "INSERT INTO item VALUES (1)")
                    }
                    try await first.execute("insert", "INSERT INTO item VALUES (2)")
                }
            }
            #expect(error?.code == .serialization)
            #expect(error?.isTransient == true)
        }
    }

    private func ids(_ database: Database) async throws -> [Int] {
        try await database.query("ids", "SELECT id FROM item ORDER BY id") { try $0["id"] as Int }
    }
}
