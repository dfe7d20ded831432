import Synchronization
import TestSupport
import Testing

@testable import Postgres

/// Transactions that stand in each other's way.
@Suite struct ConflictTests {
    @Test func `a statement that lost a deadlock is run again, three times at most`() async throws {
        let tries = Mutex(0)
        func losing(_ times: Int) async throws -> Int {
            tries.withLock { $0 = 0 }
            return try await DatabaseError.outlivingConflicts {
                let number = tries.withLock { tries in
                    tries += 1
                    return tries
                }
                if number <= times { throw DatabaseError(.deadlock, sqlState: "40P01") }
                return number
            }
        }
        #expect(try await losing(0) == 1)
        #expect(try await losing(2) == 3)
        #expect(try await databaseError { try await losing(3) }?.code == .deadlock)
        #expect(tries.withLock { $0 } == 3)
        let other = try await databaseError { try await DatabaseError.outlivingConflicts { throw DatabaseError(.unavailable) } }
        #expect(other?.code == .unavailable)
    }

    @Test func `a batch that lost a deadlock is written whole`() async throws {
        let sizes = Mutex<[Int]>([])
        let results = await GroupCommit<Int, Int>.settle([1, 2, 3, 4][...]) { items in
            let isFirst = sizes.withLock { sizes in
                sizes.append(items.count)
                return sizes.count == 1
            }
            if isFirst { throw DatabaseError(.deadlock, sqlState: "40P01") }
            return items.map { .success($0) }
        }
        #expect(try results.map { try $0.get() } == [1, 2, 3, 4])
        #expect(sizes.withLock { $0 } == [4, 4])
    }

    @Test func `of two transactions that lock each other out both get through`() async throws {
        try await withDatabase(connections: 3) { database, _ in
            try await database.executeOutsideTransaction(
                "tables",
                """
                CREATE TABLE item (id int8 PRIMARY KEY, hits int8 NOT NULL DEFAULT 0);
                INSERT INTO item VALUES (1), (2);
                CREATE FUNCTION hit(one int8, other int8) RETURNS void LANGUAGE plpgsql AS $$
                BEGIN
                    UPDATE item SET hits = hits + 1 WHERE id = one;
                    PERFORM pg_sleep(0.05);
                    UPDATE item SET hits = hits + 1 WHERE id = other;
                END $$;
                """)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for pair in [(1, 2), (2, 1)] {
                    group.addTask { try await database.execute("both", "SELECT hit(\(pair.0), \(pair.1))", deadline: .seconds(120)) }
                }
                try await group.waitForAll()
            }
            #expect(try await database.query("hits", "SELECT hits AS v FROM item") { try $0["v"] as Int } == [2, 2])
        }
    }

    @Test func `a migration does not wait in front of others for a lock`() async throws {
        try await withDatabase(connections: 4) { database, test in
            let table = Migration(version: 1, name: "item", sql: "CREATE TABLE item (id int8)")
            let change = Migration(version: 2, name: "change", sql: "ALTER TABLE item ADD COLUMN name text")
            try await Migrator(database: database, migrations: [table]).migrate()
            let other = test.open(connections: 1)
            // Somebody reads, and the migration has to wait; who comes later reads all the same.
            let migrating = try await database.transaction(deadline: .seconds(120)) { reader in
                try await reader.execute("read", "SELECT count(*) FROM item")
                let migrating = Task { try await Migrator(database: database, migrations: [table, change]).migrate(deadline: .seconds(120)) }
                var tries = 0
                while tries == 0 {
                    tries =
                        try await database.queryOne(
                            "waits", "SELECT count(*) AS v FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
                        ) { try $0["v"] as Int } ?? 0
                }
                _ = try await other.query("read later", "SELECT count(*) AS v FROM item", deadline: .seconds(60)) { try $0["v"] as Int }
                return migrating
            }
            #expect(try await migrating.value == [change])
            await other.close()
        }
    }
}
