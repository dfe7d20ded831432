import Foundation
import Glibc
package import Logging
package import Postgres
import Synchronization

/// One real PostgreSQL per test process, in a temporary folder, started by the first test that asks and gone when the process ends.
/// fsync is off: these tests prove behaviour, not what a power cut leaves behind.
package actor TestCluster {
    package static let shared = TestCluster()

    private var starting: Task<EmbeddedCluster, any Error>?
    private var templates: [String: Task<Void, any Error>] = [:]
    private var count = 0

    /// A fresh empty database.
    package func database() async throws -> TestDatabase { try await create("template1") }

    /// A fresh copy of a template. `prepare` fills the template, once per name and process; it gets the owner's connection string and
    /// leaves no connection open.
    package func database(template name: String, prepare: @escaping @Sendable (String) async throws -> Void) async throws -> TestDatabase {
        let template = "template_" + name
        if templates[name] == nil {
            templates[name] = Task {
                let cluster = try await self.cluster()
                let administrator = Self.administrator(cluster)
                try await administrator.executeOutsideTransaction("test.template", "CREATE DATABASE \(template)")
                try await prepare(cluster.connectionString(database: template))
                await administrator.close()
            }
        }
        try await templates[name]?.value
        return try await create(template)
    }

    private func create(_ template: String) async throws -> TestDatabase {
        let cluster = try await cluster()
        count += 1
        let name = "test_\(count)"
        let administrator = Self.administrator(cluster)
        try await administrator.executeOutsideTransaction("test.database", "CREATE DATABASE \(name) TEMPLATE \(template)")
        await administrator.close()
        return TestDatabase(cluster: cluster, name: name)
    }

    private static func administrator(_ cluster: EmbeddedCluster) -> Database {
        Database(
            Database.Configuration(
                url: cluster.connectionString(), connections: 1, name: "test-administrator", connectTimeout: .seconds(60), deadline: .seconds(120)),
            logger: .silent)
    }

    private func cluster() async throws -> EmbeddedCluster {
        if starting == nil { starting = Task { try await Self.start() } }
        guard let cluster = try await starting?.value else { throw CancellationError() }
        return cluster
    }

    // MARK: From start to exit

    private static let prefix = "gateway-tests-"
    /// What `atexit` has to clean up; a C function takes no context.
    private static let leftover = Mutex<String?>(nil)

    private static func start() async throws -> EmbeddedCluster {
        sweep()
        let directory = NSTemporaryDirectory() + "/\(prefix)\(getpid())"
        leftover.withLock { $0 = directory }
        atexit { TestCluster.leftover.withLock { $0 }.map { TestCluster.remove($0) } }
        let fast = ["fsync": "off", "full_page_writes": "off", "max_connections": "400", "shared_buffers": "64MB"]
        return try await EmbeddedCluster.open(directory: directory, logger: .silent, settings: fast)
    }

    /// Removes what killed test processes left.
    private static func sweep() {
        let root = NSTemporaryDirectory()
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [] where entry.hasPrefix(prefix) {
            guard let process = Int32(entry.dropFirst(prefix.count)), kill(process, 0) != 0, errno == ESRCH else { continue }
            remove("\(root)/\(entry)")
        }
    }

    private static func remove(_ directory: String) {
        let pidFile = directory + "/postgres/postmaster.pid"
        if let text = try? String(contentsOfFile: pidFile, encoding: .utf8), let process = text.split(separator: "\n").first.flatMap({ Int32($0) }),
            process > 1, (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8))?.hasPrefix("postgres") == true
        {
            kill(process, SIGQUIT)
            for _ in 0..<200 where kill(process, 0) == 0 { usleep(10_000) }
        }
        // What cannot be removed is tried again by the next run's sweep.
        try? FileManager.default.removeItem(atPath: directory)
    }
}

/// A database of one test.
package struct TestDatabase: Sendable {
    package let cluster: EmbeddedCluster
    package let name: String

    /// The connection string of a role.
    package func url(role: String = EmbeddedCluster.owner) -> String { cluster.connectionString(role: role, database: name) }

    /// An open `Database`; the test closes it.
    package func open(role: String = EmbeddedCluster.owner, connections: Int = 4) -> Database {
        // A busy machine must not decide what a test says.
        Database(
            Database.Configuration(url: url(role: role), connections: connections, name: name, connectTimeout: .seconds(60), deadline: .seconds(60)),
            logger: .silent)
    }
}

extension Logger {
    /// Says nothing.
    package static var silent: Logger { Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() } }
}
