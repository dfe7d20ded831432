import Foundation
import Glibc
import Logging
import Postgres
import Proof
import Synchronization

/// A PostgreSQL of the proof's own that several gateways share by URL, and that can be killed under them.
final class SharedDatabase: Sendable {
    /// The superuser's login, which sees every row.
    let admin: Database
    private let directory: String
    private let settings: [String: String]
    private let logger: Logger
    private let cluster: Mutex<EmbeddedCluster>

    /// - Parameter settings: further lines of postgresql.conf.
    static func open(directory: String, settings: [String: String], logger: Logger) async throws -> SharedDatabase {
        let cluster = try await EmbeddedCluster.open(directory: directory, logger: logger, settings: settings)
        return SharedDatabase(cluster, directory, settings, logger)
    }

    private init(_ cluster: EmbeddedCluster, _ directory: String, _ settings: [String: String], _ logger: Logger) {
        self.directory = directory
        self.settings = settings
        self.logger = logger
        self.cluster = Mutex(cluster)
        // Waits through a restart: whoever asks wants an answer, not an excuse.
        admin = Database(
            Database.Configuration(url: cluster.connectionString(), connections: 2, name: "proof", patience: .seconds(30)), logger: logger)
    }

    /// Where a login connects by the server's own socket.
    func address(_ role: String) -> String { cluster.withLock { $0.connectionString(role: role) } }

    /// The server's socket, its files, and what it wrote to its log.
    var socket: String { directory + "/socket/.s.PGSQL.5432" }
    var files: String { directory + "/postgres" }
    var log: String {
        let folder = files + "/log"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted().compactMap { try? String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }.joined()
    }

    /// Reads rows; asks again while the server is away, for half a minute.
    func ask<Row: Sendable>(_ name: String, _ sql: SQL, as read: @Sendable (RowReader) throws -> Row) async throws -> [Row] {
        try await patiently { try await admin.query(name, sql, deadline: .seconds(20), access: .readOnly, as: read) }
    }

    /// Changes rows, for what may be done twice.
    func tell(_ name: String, _ sql: SQL) async throws {
        try await patiently { _ = try await admin.execute(name, sql, deadline: .seconds(20)) }
    }

    private func patiently<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            do { return try await body() } catch let error as DatabaseError where ContinuousClock.now < end && error.sqlState != "42P01" {
                try await ContinuousClock().sleep(for: .milliseconds(200))
            }
        }
    }

    /// kill -9 of the server's first process, which takes all others with it.
    func kill() throws { try signal(SIGKILL) }

    /// To the server's first process.
    func signal(_ number: Int32) throws {
        guard let process = cluster.withLock({ $0.processID }) else { throw ProofFailure("PostgreSQL is not running") }
        Glibc.kill(process, number)
    }

    var isRunning: Bool { cluster.withLock { $0.processID } != nil }

    /// Ends the server in good order; `restart()` goes on.
    func stop() async throws { try await cluster.withLock { $0 }.stop() }

    /// Starts the server again after `kill()`; returns when it has recovered and accepts connections.
    func restart() async throws {
        // The old user of the files lets go of them first.
        try await cluster.withLock { $0 }.stop()
        let fresh = try await EmbeddedCluster.open(directory: directory, logger: logger, settings: settings)
        cluster.withLock { $0 = fresh }
    }

    func close() async throws {
        await admin.close()
        try await cluster.withLock { $0 }.stop()
    }
}
