import Foundation
import Testing

@testable import Postgres

@Suite struct TypeTests {
    @Test func `values of every type come back as they went, extremes and NULL included`() async throws {
        try await withDatabase { database, _ in
            func check<Value: SQLBindable & SQLReadable & Equatable>(_ values: Value...) async throws {
                for value in values {
                    let back = try await database.query("echo", "SELECT \(value) AS value") { try $0.column("value", as: Value.self) }
                    #expect(back == [value])
                    let optional = try await database.query("echo", "SELECT \(Optional(value)) AS value") { try $0.column("value", as: Value?.self) }
                    #expect(optional == [value])
                }
                let null = try await database.query("echo", "SELECT \(Value?.none) AS value") { try $0.column("value", as: Value?.self) }
                #expect(null == [nil])
            }
            try await check(true, false)
            try await check(Int16.min, 0, Int16.max)
            try await check(Int32.min, 0, Int32.max)
            try await check(Int64.min, 0, Int64.max)
            try await check(Int.min, 0, Int.max)
            try await check(-Double.greatestFiniteMagnitude, 0, .leastNonzeroMagnitude, .infinity)
            try await check("", "e\u{301}", "👩‍👩‍👧 $1 ' \\ \"", String(repeating: "x", count: 100_000))
            try await check([UInt8](), [0, 255], [UInt8](repeating: 0, count: 100_000))
            try await check(UUID(), UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))
            try await check(
                Date(timeIntervalSinceReferenceDate: 0), Date(timeIntervalSince1970: 1_700_000_000.5), Date(timeIntervalSince1970: -10_000_000_000),
                .distantFuture, .distantPast)
            try await check([Int16](), [.min, .max])
            try await check([Int32](), [.min, .max])
            try await check([Int64](), [.min, .max])
            try await check([Int](), [.min, .max])
            try await check([true], [false, true])
            try await check([1.5, -2])
            try await check(["", "ä", "{a,\"b\"}"])
            try await check([[UInt8]](), [[], [1], [0, 255]])
            try await check([UUID()], [UUID(), UUID()])
            try await check([Date(timeIntervalSinceReferenceDate: 1)])
            try await check([Int?.none, 1, nil])
            try await check([String?.none, "", nil, "x"])
        }
    }

    @Test func `arrays unnest side by side, one thousand rows in one statement`() async throws {
        try await withDatabase { database, _ in
            let ids = (0..<1_000).map { _ in UUID() }
            let bodies: [[UInt8]?] = ids.indices.map { $0 % 3 == 0 ? nil : [UInt8(truncatingIfNeeded: $0)] }
            try await database.execute("table", "CREATE TABLE item (id uuid PRIMARY KEY, body bytea, place int8)")
            let count = try await database.execute(
                "insert", "INSERT INTO item (id, body, place) SELECT * FROM unnest(\(ids), \(bodies), \(Array(ids.indices)))")
            let back = try await database.query("read", "SELECT id, body FROM item ORDER BY place") {
                (try $0["id"] as UUID, try $0["body"] as [UInt8]?)
            }
            #expect(count == 1_000)
            #expect(back.map(\.0) == ids)
            #expect(back.map(\.1) == bodies)
        }
    }

    @Test func `a value stays a value, and fragments number on`() async throws {
        let condition: SQL = "name = \("o'hara; DROP TABLE x")"
        let whole: SQL = "SELECT \(1) FROM \(unescaped: "person") WHERE \(condition) AND age > \(30)"
        #expect(whole.text == "SELECT $1 FROM person WHERE name = $2 AND age > $3")
        #expect(whole.types == [SQLType.int8, SQLType.text, SQLType.int8])
    }

    @Test func `what does not fit is an error that names the column`() async throws {
        try await withDatabase { database, _ in
            func reason<Value: SQLReadable>(_ sql: SQL, _ type: Value.Type) async throws -> String? {
                try await databaseError {
                    try await database.query("misfit", sql) {
                        _ = try $0.column("v", as: type); return 0
                    }
                }
                .map { "\($0.code) \($0.detail)" }
            }
            let reasons = [
                try await reason("SELECT 70000 AS v", Int16.self), try await reason("SELECT NULL::int AS v", Int.self),
                try await reason("SELECT 'x' AS v", Int.self), try await reason("SELECT 1 AS v", String.self),
                try await reason("SELECT 1 AS w", Int.self), try await reason("SELECT '{{1,2},{3,4}}'::int[] AS v", [Int].self),
                try await reason("SELECT '{1,NULL}'::int[] AS v", [Int].self),
            ]
            let expected = ["outOfRange", "null", "type(25)", "type(23)", "noSuchColumn", "malformed", "null"]
            #expect(reasons == expected.map { "unreadable column v: \($0)" })
        }
    }

    @Test func `jsonb, enums, dates and int4 arrays read as text, Date and Int`() async throws {
        try await withDatabase { database, _ in
            try await database.execute("type", "CREATE TYPE mood AS ENUM ('sad', 'glad')")
            let row = try await database.queryOne(
                "read",
                "SELECT \("{\"a\": 1}")::jsonb AS j, \("glad")::mood AS m, DATE '1970-01-02' AS d, ARRAY[1, 2] AS n, ARRAY['sad']::mood[] AS ms"
            ) { (try $0["j"] as String, try $0["m"] as String, try $0["d"] as Date, try $0["n"] as [Int], try $0["ms"] as [String]) }
            #expect(row?.0 == "{\"a\": 1}")
            #expect(row?.1 == "glad")
            #expect(row?.2 == Date(timeIntervalSince1970: 86_400))
            #expect(row?.3 == [1, 2])
            #expect(row?.4 == ["sad"])
        }
    }

    @Test func `an array cut short or with a wild count is malformed`() throws {
        var whole: [UInt8] = []
        _ = ["one", "two"].encode(into: &whole)
        for count in whole.indices {
            whole[..<count].withUnsafeBytes { bytes in
                _ = #expect(throws: SQLReadFailure.self) { try [String].decode(SQLValue(type: SQLType.textArray, bytes: bytes)) }
            }
        }
        for (place, number) in [(0, Int32.max), (12, .max), (12, -1), (20, .max), (20, .min)] {
            var wild = whole
            wild.put(number, at: place)
            wild.withUnsafeBytes { bytes in
                _ = #expect(throws: SQLReadFailure.self) { try [String].decode(SQLValue(type: SQLType.textArray, bytes: bytes)) }
            }
        }
    }
}
