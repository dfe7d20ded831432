import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Postgres

/// Which servers are spoken to, and how long.
@Suite struct ServerChoiceTests {
    private typealias Server = Lineage.Server

    @Test func `a server of an earlier timeline, of another database, or in recovery is refused`() {
        let lineage = Lineage()
        #expect(lineage.refusal(of: Server(isStandby: false, system: 7, timeline: 1)) == nil)
        #expect(lineage.refusal(of: Server(isStandby: true, system: 7, timeline: 0)) == "server is a standby")
        #expect(lineage.refusal(of: Server(isStandby: false, system: 7, timeline: 3)) == nil)
        #expect(lineage.refusal(of: Server(isStandby: false, system: 7, timeline: 2)) == "server is on an earlier timeline than one seen before")
        #expect(lineage.refusal(of: Server(isStandby: false, system: 8, timeline: 9)) == "another database than before")
        #expect(lineage.refusal(of: Server(isStandby: false, system: 7, timeline: 3)) == nil)
    }

    @Test func `a primary that was replaced is refused by every pool that knows of its successor`() async throws {
        try await withDatabase { database, test in
            let system = try await database.queryOne("system", "SELECT system_identifier AS v FROM pg_control_system()") { try $0["v"] as Int64 }
            let lineage = Lineage()
            let configuration = Database.Configuration(url: test.url(), connections: 1, patience: .milliseconds(200), lineage: lineage)
            let before = Database(configuration, logger: .silent)
            try await before.execute("first", "SELECT 1")
            #expect(lineage.refusal(of: Server(isStandby: false, system: try #require(system), timeline: 99)) == nil)
            let after = Database(configuration, logger: .silent)
            let error = try await databaseError { try await after.execute("second", "SELECT 1", deadline: .seconds(60)) }
            #expect(error?.code == .unavailable)
            await before.close()
            await after.close()
        }
    }

    @Test func `the next one of several servers is tried first after a refusal`() {
        func hosts(_ url: String, turn: Int) -> [String] {
            let settings = ConnectionSettings(Database.Configuration(url: url), logger: .silent)
            let given = settings.parameters(turn: turn).filter { ["host", "port"].contains($0.0) }
            return given.map { "\($0.0)=\($0.1)" }
        }
        #expect(hosts("host=a,b,c port=1,2,3 sslmode=disable", turn: 0) == [])
        #expect(hosts("host=a,b,c port=1,2,3 sslmode=disable", turn: 1) == ["host=b,c,a", "port=2,3,1"])
        #expect(hosts("host=a,b,c port=5432 sslmode=disable", turn: 5) == ["host=c,a,b"])
        #expect(hosts("host=a port=1 sslmode=disable", turn: 1) == [])
    }

    @Test func `a server that takes no writes is unavailable, and reads go on`() async throws {
        try await withDatabase(connections: 1) { database, test in
            try await database.execute("table", "CREATE TABLE item (id int8)")
            try await database.executeOutsideTransaction("read only", "ALTER DATABASE \(test.name) SET default_transaction_read_only = on")
            let other = test.open(connections: 1)
            let error = try await databaseError { try await other.execute("write", "INSERT INTO item VALUES (1)") }
            #expect(error?.code == .unavailable)
            #expect(error?.sqlState == "25006")
            #expect(try await other.query("read", "SELECT count(*) AS v FROM item") { try $0["v"] as Int } == [0])
            await other.close()
        }
    }

    @Test(.timeLimit(.minutes(3))) func `a server that answers nothing, not even a request to cancel, holds nobody up`() async throws {
        try await withCluster { cluster, _ in
            let database = Database(Database.Configuration(url: cluster.connectionString(), connections: 1), logger: .silent)
            let backend = try await database.queryOne("backend", "SELECT pg_backend_pid() AS v") { try $0["v"] as Int32 }
            let stopped = try [#require(cluster.processID), #require(backend)]
            for process in stopped { kill(process, SIGSTOP) }
            let error = try await databaseError { try await database.execute("write", "SELECT 1", deadline: .milliseconds(100)) }
            for process in stopped { kill(process, SIGCONT) }
            #expect(error?.code == .deadline || error?.code == .commitUnknown)
            #expect(try await database.query("again", "SELECT 1 AS v", deadline: .seconds(60)) { try $0["v"] as Int32 } == [1])
            await database.close()
        }
    }
}
