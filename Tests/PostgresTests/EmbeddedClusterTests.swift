import Foundation
import Glibc
import Testing
import TestSupport

@testable import Postgres

@Suite(.serialized) struct EmbeddedClusterTests {
    @Test func `a database works again after its server was stopped and started`() async throws {
        try await withCluster { cluster, directory in
            let database = Database(
                Database.Configuration(url: cluster.connectionString(), connections: 2, patience: .seconds(2)), logger: .silent)
            try await database.execute("table", "CREATE TABLE item (id int8)")
            try await cluster.stop()
            #expect(cluster.processID == nil)
            #expect(try await databaseError { try await database.execute("one", "SELECT 1") }?.code == .unavailable)
            let again = try await EmbeddedCluster.open(directory: directory, logger: .silent)
            try await again.execute(database)
            await database.close()
            try await again.stop()
        }
    }

    @Test func `a killed server is started again and has kept what was committed`() async throws {
        try await withCluster { cluster, directory in
            let database = Database(Database.Configuration(url: cluster.connectionString(), connections: 2, patience: .seconds(20)), logger: .silent)
            try await database.execute("table", "CREATE TABLE item (id int8)")
            try await database.execute("insert", "INSERT INTO item VALUES (1)")
            let process = try #require(cluster.processID)
            kill(process, SIGKILL)
            let service = Task { try await cluster.run() }  // notices, and starts it again
            var ids: [Int] = []
            while ids.isEmpty {
                do {
                    ids = try await database.query("ids", "SELECT id FROM item", deadline: .seconds(20), access: .readOnly) { try $0["id"] as Int }
                } catch let error as DatabaseError where error.isTransient {}  // an orphaned backend may answer for a moment
            }
            #expect(ids == [1])
            await database.close()
            service.cancel()
            try await service.value
            #expect(cluster.processID == nil)
        }
    }

    @Test func `who comes second joins, and the last to leave stops the server`() async throws {
        try await withCluster { first, directory in
            let second = try await EmbeddedCluster.open(directory: directory, logger: .silent)
            #expect(second.processID == first.processID && first.processID != nil)
            try await first.stop()
            #expect(second.processID != nil)
            let database = Database(Database.Configuration(url: second.connectionString(), connections: 1), logger: .silent)
            try await database.execute("one", "SELECT 1")
            await database.close()
            try await second.stop()
            #expect(second.processID == nil)
        }
    }

    @Test func `a process number that is now a stranger's does not keep the server from starting`() async throws {
        try await withCluster { cluster, directory in
            try await cluster.stop()
            try "\(getpid())\n\(directory)/postgres\n0\n5432\n/tmp\n\n0 0\nready\n".write(
                toFile: directory + "/postgres/postmaster.pid", atomically: true, encoding: .utf8)
            let again = try await EmbeddedCluster.open(directory: directory, logger: .silent)
            #expect(again.processID != nil && again.processID != getpid())
            try await again.stop()
        }
    }

    @Test func `nothing listens but a socket in a private folder, and no value reaches the server's log`() async throws {
        let long = NSTemporaryDirectory() + "/gateway-cluster-" + String(repeating: "x", count: 90)
        defer { try? FileManager.default.removeItem(atPath: long) }
        let cluster = try await EmbeddedCluster.open(directory: long, logger: .silent)
        let database = Database(Database.Configuration(url: cluster.connectionString(), connections: 1), logger: .silent)
        let folder = try #require(
            try await database.queryOne("socket", "SELECT current_setting('unix_socket_directories') AS v") { try $0["v"] as String })
        #expect(folder.hasPrefix("/tmp/gateway-"))
        #expect(try FileManager.default.attributesOfItem(atPath: folder)[.posixPermissions] as? Int == 0o700)
        #expect(try await database.query("listen", "SELECT current_setting('listen_addresses') AS v") { try $0["v"] as String } == [""])
        #expect(try await database.query("user", "SELECT usename::text AS v FROM pg_user") { try $0["v"] as String } == ["gateway_owner"])

        let canary = "canary-628123456789"
        try await database.execute("table", "CREATE TABLE item (id text PRIMARY KEY)")
        for _ in 0..<2 { _ = try? await database.execute("insert", "INSERT INTO item VALUES (\(canary))") }
        _ = try? await database.execute("cast", "SELECT \(canary) || 1 / 0")
        await database.close()
        try await cluster.stop()
        let logs = try FileManager.default.contentsOfDirectory(atPath: long + "/postgres/log").map {
            try String(contentsOfFile: long + "/postgres/log/" + $0, encoding: .utf8)
        }
        #expect(logs.contains { $0.contains("duplicate key") })  // the log was looked at, and does say what happened
        #expect(!logs.contains { $0.contains(canary) })
        try FileManager.default.removeItem(atPath: folder)
    }
}

extension EmbeddedCluster {
    fileprivate func execute(_ database: Database) async throws {
        #expect(processID != nil)
        try await database.execute("insert", "INSERT INTO item VALUES (1)")
    }
}
