import Foundation
import Glibc
package import Logging
import ServiceLifecycle
import Synchronization

/// A PostgreSQL cluster of our own, in `directory/postgres`, reached over a Unix socket only. Where its user cannot enter `directory`, it lies
/// where `directory/postgres.place` leads (see ``ClusterPlace``).
///
/// Several processes may share it (the server and command line verbs): whoever comes first starts it, the last one to leave stops it. Each
/// holds a shared lock on `postgres.users` for as long as it uses the cluster, so a process that was killed counts as gone and the next
/// one takes its still running server over.
///
/// Who may connect: the socket's folder has mode 0700 and belongs to the user the cluster runs as, and within it every role is trusted. A
/// password would protect nothing, for whoever can enter that folder owns the cluster's files as well. As root the cluster runs as the
/// user `postgres`. It has one superuser, `gateway_owner`, and PostgreSQL's own databases; roles and tables come by migration.
package final class EmbeddedCluster: Service, Sendable {
    /// The superuser that owns everything.
    package static let owner = "gateway_owner"

    private let files: ClusterFiles
    private let tools: ClusterTools
    private let users: FileLock
    private let logger: Logger
    private let stage: Mutex<(socketDirectory: String, isStopped: Bool)>

    private init(_ files: ClusterFiles, _ tools: ClusterTools, users: FileLock, socketDirectory: String, logger: Logger) {
        self.files = files
        self.tools = tools
        self.users = users
        self.logger = logger
        stage = Mutex((socketDirectory, false))
    }

    // MARK: Using it

    /// Starts the cluster, or joins the one that runs; makes it first if there is none. Throws `ClusterError`.
    /// `settings` are further lines of postgresql.conf and only matter to the one who starts it; tests turn fsync off with them.
    package static func open(directory: String, logger: Logger, settings: [String: String] = [:]) async throws -> EmbeddedCluster {
        let place = try ClusterPlace.resolve(directory, for: ClusterTools.find(version: nil).user)
        let files = try ClusterFiles(place, settings: settings)
        let tools = try ClusterTools.find(version: files.version)
        try files.makeDirectory(for: tools)
        let users = try FileLock(files.usersLock)
        let socketDirectory = try await files.alone {
            guard users.tryShared() else { throw ClusterError(code: .busy, detail: "\(files.usersLock) is locked by a process that is stopping") }
            if files.version == nil { try await initialise(files, tools) }
            return try await start(files, tools, logger)
        }
        return EmbeddedCluster(files, tools, users: users, socketDirectory: socketDirectory, logger: logger)
    }

    /// Where to connect, for `Database.Configuration.url`.
    package func connectionString(role: String = EmbeddedCluster.owner, database: String = "postgres") -> String {
        func quoted(_ text: String) -> String { "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'" }
        return "host=\(quoted(stage.withLock(\.socketDirectory))) user=\(quoted(role)) dbname=\(quoted(database))"
    }

    /// Keeps the server running until shutdown, starting it again if it dies, then stops it unless others use it.
    /// Stands first in the service group, so that it stops after everything that uses it.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: .seconds(1), clock: .continuous)) != nil {
                guard self.files.runningServer(self.tools) == nil else { continue }
                self.logger.error("the embedded PostgreSQL has stopped by itself; starting it again")
                do {
                    let socketDirectory = try await self.files.alone { try await Self.start(self.files, self.tools, self.logger) }
                    self.stage.withLock { $0.socketDirectory = socketDirectory }
                } catch {
                    self.logger.error("the embedded PostgreSQL does not start", metadata: ["error.detail": "\(error)"])
                }
            }
        }
        // The shutdown is not cancelled with the task that asks for it.
        try await Task { try await self.stop() }.value
    }

    /// Stops the server if nobody else uses it; returns when it is down, everything written. Further calls do nothing.
    package func stop() async throws {
        let isFirst = stage.withLock { stage in
            defer { stage.isStopped = true }
            return !stage.isStopped
        }
        guard isFirst else { return }
        try await files.alone {
            defer { self.users.unlock() }
            guard self.users.tryExclusive(), self.files.runningServer(self.tools) != nil else { return }
            let code = try await self.tools.run("pg_ctl", ["stop", "-D", self.files.cluster, "-m", "fast", "-w", "-t", "60"])
            guard code == 0 || self.files.runningServer(self.tools) == nil else {
                throw ClusterError(code: .stop, detail: "pg_ctl stop ended with \(code)")
            }
            self.logger.info("embedded PostgreSQL stopped")
        }
    }

    /// The server's process while it runs.
    package var processID: Int32? { files.runningServer(tools)?.processID }

    // MARK: Making and starting

    /// Makes the cluster beside its place and moves it there when it is complete, so a kill leaves nothing half made.
    private static func initialise(_ files: ClusterFiles, _ tools: ClusterTools) async throws {
        let draft = files.cluster + ".new"
        if access(draft, F_OK) == 0 { try FileManager.default.removeItem(atPath: draft) }
        guard mkdir(draft, 0o700) == 0 else { throw ClusterError(code: .directory, detail: "cannot make \(draft)") }
        try tools.own(draft, mode: 0o700)
        let code = try await tools.run(
            "initdb", ["-D", draft, "-U", owner, "-A", "trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"])
        guard code == 0, rename(draft, files.cluster) == 0 else {
            throw ClusterError(
                code: .initialisation, detail: "initdb ended with \(code) for \(files.cluster); can its user enter every folder above?")
        }
    }

    /// The folder of the running server's socket, after starting it if need be.
    private static func start(_ files: ClusterFiles, _ tools: ClusterTools, _ logger: Logger) async throws -> String {
        if let running = files.runningServer(tools) {
            // It may still be starting or recovering.
            return try await ready(files, tools, running.socketDirectory)
        }
        try files.removeForeignPID()
        let socketDirectory = try files.makeSocketDirectory(for: tools)
        try files.writeConfiguration(for: tools, socketDirectory: socketDirectory)
        // After a crash the old server's children may need a moment to notice, and PostgreSQL refuses to start beside them.
        var code: Int32 = 0
        for attempt in 1...10 {
            code = try await tools.run("pg_ctl", ["start", "-D", files.cluster, "-l", "\(files.cluster)/start.log", "-w", "-t", "120", "-s"])
            if code == 0 {
                logger.info("embedded PostgreSQL started", metadata: ["attempt": "\(attempt)"])
                return socketDirectory
            }
            // Or the last user was killed in the middle of starting, and its pg_ctl got ahead of ours.
            if let running = files.runningServer(tools) { return try await ready(files, tools, running.socketDirectory) }
            try await Task.sleep(for: .milliseconds(100 * attempt), clock: .continuous)
        }
        throw ClusterError(code: .start, detail: "pg_ctl start ended with \(code); see \(files.cluster)/start.log and \(files.cluster)/log")
    }

    /// Waits until a server that somebody else started accepts connections.
    private static func ready(_ files: ClusterFiles, _ tools: ClusterTools, _ socketDirectory: String) async throws -> String {
        for _ in 0..<1_200 {
            guard let running = files.runningServer(tools) else { break }
            if running.isReady { return running.socketDirectory }
            try await Task.sleep(for: .milliseconds(100), clock: .continuous)
        }
        throw ClusterError(code: .start, detail: "the running server in \(files.cluster) does not become ready")
    }
}
