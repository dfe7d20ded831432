import Foundation
import Glibc
package import Postgres
import Synchronization

/// A pgbouncer in transaction mode in front of the tests' cluster, with fewer connections to the server than its clients have, so that every
/// transaction of a client may run on another one.
package final class TestPooler: Sendable {
    private let directory: String
    private let process: Process

    /// Whether Debian's pgbouncer is there (Scripts/bootstrap installs it).
    package static var isInstalled: Bool { program("pgbouncer") != nil && (geteuid() != 0 || program("setpriv") != nil) }

    /// Set: every test gateway speaks to its database through a pooler.
    package static var isForced: Bool { ProcessInfo.processInfo.environment["GATEWAY_TEST_POOLER"] == "1" }

    /// For tests that are forced through it; ends with the process.
    package static func shared(_ database: TestDatabase) throws -> TestPooler {
        try one.withLock { pooler in
            if let pooler { return pooler }
            let started = try TestPooler(in: front(of: database))
            leftover.withLock { $0 = started.process.processIdentifier }
            atexit { TestPooler.leftover.withLock { if let process = $0 { kill(process, SIGKILL) } } }
            pooler = started
            return started
        }
    }

    private static let one = Mutex<TestPooler?>(nil)
    private static let leftover = Mutex<pid_t?>(nil)

    package convenience init(_ database: TestDatabase) throws { try self.init(in: Self.front(of: database)) }

    /// The folder of the server's socket, as the connection string has it.
    private static func front(of database: TestDatabase) throws -> String {
        guard let socket = database.url().firstMatch(of: /host='([^']+)'/)?.output.1 else { throw TestFailure("the cluster has no socket") }
        return String(socket)
    }

    private init(in socket: String) throws {
        guard let pgbouncer = Self.program("pgbouncer") else { throw TestFailure("pgbouncer is not installed") }
        var template = Array("/tmp/gateway-pooler-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestFailure("cannot make a folder in /tmp") }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let roles = ["gateway_api", "gateway_engine", "gateway_cron", EmbeddedCluster.owner]
        try roles.map { "\"\($0)\" \"\"\n" }.joined().write(toFile: directory + "/users", atomically: true, encoding: .utf8)
        try """
        [databases]
        * = host=\(socket)
        [pgbouncer]
        listen_port = 6432
        unix_socket_dir = \(directory)
        auth_type = trust
        auth_file = \(directory)/users
        pool_mode = transaction
        default_pool_size = 3
        max_client_conn = 2000
        server_idle_timeout = 2
        logfile = \(directory)/log
        """.write(toFile: directory + "/pgbouncer.ini", atomically: true, encoding: .utf8)
        process = Process()
        if geteuid() == 0 {
            // It refuses to run as root, and must be able to enter the socket's folder.
            guard let setpriv = Self.program("setpriv"), let user = getpwnam("postgres")?.pointee else { throw TestFailure("no user postgres") }
            for path in [directory, directory + "/users", directory + "/pgbouncer.ini"] { chown(path, user.pw_uid, user.pw_gid) }
            process.executableURL = URL(fileURLWithPath: setpriv)
            process.arguments = [
                "--reuid=\(user.pw_uid)", "--regid=\(user.pw_gid)", "--clear-groups", pgbouncer, "--quiet", directory + "/pgbouncer.ini",
            ]
        } else {
            process.executableURL = URL(fileURLWithPath: pgbouncer)
            process.arguments = ["--quiet", directory + "/pgbouncer.ini"]
        }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        try process.run()
    }

    /// The connection string of a role by way of the pooler. It may not listen yet: a `Database` waits for it.
    package func url(_ database: TestDatabase, role: String) -> String {
        "host='\(directory)' port=6432 user='\(role)' dbname='\(database.name)'"
    }

    /// Not by SIGTERM: a child inherits the signals that its parent's thread blocks. It keeps nothing that a kill could harm.
    package func stop() {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private static func program(_ name: String) -> String? {
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
