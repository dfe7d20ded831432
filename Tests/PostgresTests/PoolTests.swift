import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite struct PoolTests {
    @Test func `who waits for a connection gets one in turn, or the deadline`() async throws {
        try await withDatabase(connections: 1) { database, _ in
            try await database.transaction { transaction in
                try await transaction.execute("hold", "SELECT 1")
                let late = try await databaseError { try await database.execute("other", "SELECT 1", deadline: .milliseconds(50)) }
                #expect(late?.code == .deadline)
            }
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<100 {
                    group.addTask { try await database.queryOne("echo", "SELECT \(number) AS v") { try $0["v"] as Int } ?? -1 }
                }
                let numbers = try await group.reduce(into: Set<Int>()) { $0.insert($1) }
                #expect(numbers == Set(0..<100))
            }
        }
    }

    @Test func `a full queue refuses at once`() async throws {
        let test = try await TestCluster.shared.database()
        let configuration = Database.Configuration(url: test.url(), connections: 1, queueLimit: 0)
        let database = Database(configuration, logger: .silent)
        try await database.transaction { transaction in
            try await transaction.execute("hold", "SELECT 1")
            let error = try await databaseError { try await database.execute("other", "SELECT 1") }
            #expect(error?.code == .unavailable)
        }
        await database.close()
        #expect(try await databaseError { try await database.execute("after close", "SELECT 1") }?.code == .unavailable)
    }

    @Test func `a connection that the server refuses is not preferred to one that is open`() async throws {
        try await withDatabase { owner, test in
            try await owner.executeOutsideTransaction("role", "CREATE ROLE \(test.name) LOGIN CONNECTION LIMIT 1")
            let configuration = Database.Configuration(url: test.url(role: test.name), connections: 4, patience: .milliseconds(50))
            let database = Database(configuration, logger: .silent)
            try await database.execute("first", "SELECT 1")
            // More at once than there are connections: whoever tries to open another one is told that there is none.
            let refused = await withTaskGroup(of: Bool.self, returning: Int.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        do { try await database.execute("crowd", "SELECT pg_sleep(0.05)", deadline: .seconds(60)) } catch { return true }
                        return false
                    }
                }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(refused < 8)
            for _ in 0..<50 { try await database.execute("after", "SELECT 1", deadline: .seconds(60)) }
            await database.close()
            try await owner.executeOutsideTransaction("role", "DROP ROLE \(test.name)")
        }
    }

    @Test func `a cancelled wait leaves the connection to others`() async throws {
        try await withDatabase(connections: 1) { database, _ in
            try await database.transaction { transaction in
                try await transaction.execute("hold", "SELECT 1")
                let waiting = Task { try await database.execute("other", "SELECT 1", deadline: .seconds(60)) }
                waiting.cancel()
                await #expect(throws: CancellationError.self) { try await waiting.value }
            }
            try await database.execute("free", "SELECT 1")
        }
    }

    @Test func `more statements than the cache holds still run, and a changed table is noticed`() async throws {
        try await withDatabase(connections: 1) { database, _ in
            for number in 0..<600 { try await database.execute("many", SQL(unescaped: "SELECT \(number)")) }
            try await database.execute("table", "CREATE TABLE item (id int8)")
            _ = try await database.query("read", "SELECT * FROM item") { _ in 0 }
        }
    }

    @Test func `a connection ended by the server is replaced without anyone noticing`() async throws {
        try await withDatabase(connections: 2) { database, test in
            let other = test.open(connections: 1)
            try await other.execute("warm", "SELECT 1")
            try await database.execute(
                "kill", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            try await other.transaction { try await $0.execute("again", "SELECT 1") }
            await other.close()
        }
    }

    @Test func `a connection lost in the middle is unavailable, lost at commit unknown`() async throws {
        try await withDatabase(connections: 2) { database, _ in
            try await database.execute("table", "CREATE TABLE item (id int8)")
            let error = try await databaseError {
                try await database.transaction { transaction in
                    let pid = try await transaction.query("pid", "SELECT pg_backend_pid() AS v") { try $0["v"] as Int32 }[0]
                    try await database.execute("kill", "SELECT pg_terminate_backend(\(pid))")
                    try await transaction.execute("lost", "INSERT INTO item VALUES (1)")
                }
            }
            #expect(error?.code == .unavailable)
            let unknown = try await databaseError {
                try await database.transaction { transaction in
                    let pid = try await transaction.query("pid", "SELECT pg_backend_pid() AS v") { try $0["v"] as Int32 }[0]
                    try await transaction.execute("insert", "INSERT INTO item VALUES (2)")
                    try await database.execute("kill", "SELECT pg_terminate_backend(\(pid))")
                }
            }
            #expect(unknown?.code == .commitUnknown)
            #expect(unknown?.isTransient == false)
        }
    }

    @Test func `unnamed statements behind a pooler work alike`() async throws {
        let test = try await TestCluster.shared.database()
        let database = Database(Database.Configuration(url: test.url(), connections: 1, pooler: true), logger: .silent)
        for number in 0..<3 { #expect(try await database.query("echo", "SELECT \(number) AS v") { try $0["v"] as Int } == [number]) }
        #expect(try await database.query("prepared", "SELECT count(*) AS v FROM pg_prepared_statements") { try $0["v"] as Int } == [0])
        await database.close()
    }

    @Test func `a server that is not there is unavailable after patience, a silent one at the deadline`() async throws {
        let nowhere = Database(Database.Configuration(url: "host=/nowhere", patience: .milliseconds(100)), logger: .silent)
        #expect(try await databaseError { try await nowhere.execute("one", "SELECT 1") }?.code == .unavailable)
        await nowhere.close()
        // Who waits behind others for a connection waits for the server no longer than they: 12 calls over one connection, one patience.
        let narrow = Database(
            Database.Configuration(url: "host=/nowhere", connections: 1, patience: .seconds(1), deadline: .seconds(600)), logger: .silent)
        let begin = ContinuousClock.now
        let codes = await withTaskGroup(of: DatabaseError.Code?.self) { group in
            for _ in 0..<12 { group.addTask { try? await databaseError { try await narrow.execute("one", "SELECT 1") }?.code } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes == Array(repeating: .unavailable, count: 12))
        #expect(ContinuousClock.now - begin < .seconds(12))
        await narrow.close()
        let bad = Database(Database.Configuration(url: "postgres://user:pass word@[/"), logger: .silent)
        #expect(try await databaseError { try await bad.execute("one", "SELECT 1") }?.detail == "invalid connection string")
        await bad.close()

        // A listening socket that never answers.
        let path = NSTemporaryDirectory() + "/gw-silent-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let listener = try SilentListener(path + "/.s.PGSQL.5432")
        let silent = Database(Database.Configuration(url: "host=\(path)"), logger: .silent)
        let start = ContinuousClock.now
        #expect(try await databaseError { try await silent.execute("one", "SELECT 1", deadline: .milliseconds(200)) }?.code == .deadline)
        #expect(ContinuousClock.now - start < .seconds(25))
        await silent.close()
        listener.close()
    }
}
