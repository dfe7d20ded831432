import Testing

@testable import Postgres

@Suite struct MigratorTests {
    private static let first = Migration(version: 1, name: "items", sql: "CREATE TABLE item (id int8); INSERT INTO item VALUES (1);")
    private static let second = Migration(version: 2, name: "more", sql: "ALTER TABLE item ADD name text;\n-- done\n")

    @Test func `two nodes that start at once apply each migration once`() async throws {
        try await withDatabase(connections: 4) { database, test in
            let migrations = [Self.second, Self.first]
            let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
                for _ in 0..<4 { group.addTask { try await Migrator(database: database, migrations: migrations).migrate().map(\.version) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(applied.sorted() == [1, 2])
            #expect(try await database.query("count", "SELECT count(*) AS v FROM item") { try $0["v"] as Int } == [1])
            #expect(try await Migrator(database: database, migrations: migrations).migrate().isEmpty)
        }
    }

    @Test func `a changed, unknown, late or doubled migration refuses the start`() async throws {
        try await withDatabase { database, _ in
            try await Migrator(database: database, migrations: [Self.first, Self.second]).migrate()
            var edited = Self.first
            edited.sql += " "
            let zero = Migration(version: 0, name: "zero", sql: "SELECT 1")
            func refusal(_ migrations: [Migration]) async throws -> MigrationError? {
                do {
                    try await Migrator(database: database, migrations: migrations).migrate()
                    return nil
                } catch let error as MigrationError {
                    return error
                }
            }
            #expect(try await refusal([edited, Self.second]) == .changed(version: 1))
            #expect(try await refusal([Self.second]) == .unknown(version: 1))
            #expect(try await refusal([Self.first]) == nil, "what a newer gateway added stands in nobody's way")
            #expect(try await refusal([zero, Self.first, Self.second]) == .outOfOrder(version: 0))
            #expect(try await refusal([Self.first, edited]) == .duplicate(version: 1))
        }
    }

    @Test func `a failing migration leaves nothing of itself and keeps those before it`() async throws {
        try await withDatabase { database, _ in
            let broken = Migration(version: 2, name: "broken", sql: "CREATE TABLE left_over (id int8); SELECT 1 / 0;")
            let escaping = Migration(version: 2, name: "escaping", sql: "CREATE TABLE left_over (id int8); COMMIT;")
            await #expect(throws: MigrationError.self) { try await Migrator(database: database, migrations: [Self.first, broken]).migrate() }
            await #expect(throws: MigrationError.self) { try await Migrator(database: database, migrations: [Self.first, escaping]).migrate() }
            let versions = try await database.query("versions", "SELECT version FROM gateway_migrations") { try $0["version"] as Int }
            #expect(versions == [1])
        }
    }
}
