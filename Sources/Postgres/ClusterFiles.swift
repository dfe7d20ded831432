import Foundation
import Glibc

/// The files of an embedded cluster and what they say about it.
struct ClusterFiles: Sendable {
    /// An absolute path without symbolic links, mode 0700 or, as root, 0711.
    let directory: String
    let settings: [String: String]

    var cluster: String { directory + "/postgres" }
    var usersLock: String { directory + "/postgres.users" }
    private var startLock: String { directory + "/postgres.lock" }
    /// Where the path of a socket folder outside of `directory` is kept.
    private var socketPointer: String { directory + "/postgres.socket" }

    init(_ directory: String, settings: [String: String]) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        guard let resolved = realpath(directory, nil) else { throw ClusterError(code: .directory, detail: "cannot resolve \(directory)") }
        defer { free(resolved) }
        self.directory = String(cString: resolved)
        self.settings = settings
    }

    /// The major version that made the cluster; nil when there is none.
    var version: Int? {
        (try? String(contentsOfFile: cluster + "/PG_VERSION", encoding: .utf8)).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }

    /// As root, the cluster's user must be able to pass through (not to look into) the directory.
    func makeDirectory(for tools: ClusterTools) throws {
        var info = stat()
        guard stat(directory, &info) == 0 else { throw ClusterError(code: .directory, detail: "cannot read \(directory)") }
        guard tools.user != nil, info.st_mode & 0o001 == 0, info.st_uid == geteuid() else { return }
        guard chmod(directory, (info.st_mode & 0o777) | 0o011) == 0 else {
            throw ClusterError(code: .directory, detail: "cannot change \(directory)")
        }
    }

    /// Runs `body` while no other process starts or stops the cluster; waits at most three minutes for that.
    func alone<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        let lock = try FileLock(startLock)
        let end = ContinuousClock.now + .seconds(180)
        while !lock.tryExclusive() {
            guard .now < end else { throw ClusterError(code: .busy, detail: "another process holds \(startLock)") }
            try await Task.sleep(for: .milliseconds(50), clock: .continuous)
        }
        defer { lock.unlock() }
        return try await body()
    }

    // MARK: The running server

    struct Server: Sendable {
        var processID: Int32
        var socketDirectory: String
        var isReady: Bool
    }

    /// What postmaster.pid says, if that process lives and is a PostgreSQL in our directory: after a reboot its number may be anyone's.
    func runningServer(_ tools: ClusterTools) -> Server? {
        guard let text = try? String(contentsOfFile: cluster + "/postmaster.pid", encoding: .utf8) else { return nil }
        // Lines: process, data directory, start, port, socket directory, address, shared memory, status (miscadmin.h).
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let first = lines.first, let process = Int32(first), process > 1, isOurs(process) else { return nil }
        let status = lines.count > 7 ? lines[7].trimmingCharacters(in: .whitespaces) : ""
        return Server(processID: process, socketDirectory: lines.count > 4 ? lines[4] : "", isReady: status == "ready")
    }

    private func isOurs(_ process: Int32) -> Bool {
        guard kill(process, 0) == 0 || errno == EPERM else { return false }
        guard let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8) else { return true }  // no /proc: believe the file
        guard name.hasPrefix("postgres") || name.hasPrefix("postmaster") else { return false }
        if let state = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8), state.contains(") Z ") { return false }
        guard let folder = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd") else { return true }
        return folder == cluster
    }

    /// Removes a postmaster.pid whose number now belongs to a foreign process, which would keep PostgreSQL from starting. That of a dead
    /// process stays: PostgreSQL itself checks with it that no orphan still writes, and replaces it.
    func removeForeignPID() throws {
        let path = cluster + "/postmaster.pid"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), let process = text.split(separator: "\n").first.flatMap({ Int32($0) })
        else { return }
        guard process > 1, kill(process, 0) == 0 || errno == EPERM, !isOurs(process) else { return }
        guard unlink(path) == 0 || errno == ENOENT else { throw ClusterError(code: .directory, detail: "cannot remove \(path)") }
    }

    // MARK: The socket's folder

    /// `directory/socket`, or a folder of random name in /tmp when the socket's path would not fit (107 bytes, unix(7)).
    func makeSocketDirectory(for tools: ClusterTools) throws -> String {
        let name = "/.s.PGSQL.5432"
        let inside = directory + "/socket"
        if (inside + name).utf8.count <= 107 {
            guard mkdir(inside, 0o700) == 0 || errno == EEXIST else { throw ClusterError(code: .directory, detail: "cannot make \(inside)") }
            try tools.own(inside, mode: 0o700)
            return inside
        }
        if let known = try? String(contentsOfFile: socketPointer, encoding: .utf8), isPrivate(known, tools) { return known }
        var template = Array("/tmp/gateway-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ClusterError(code: .directory, detail: "cannot make a folder in /tmp") }
        let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        try tools.own(path, mode: 0o700)
        try path.write(toFile: socketPointer, atomically: true, encoding: .utf8)
        return path
    }

    /// Whether a path is still the folder we made: a real folder of the cluster's user that nobody else may enter.
    private func isPrivate(_ path: String, _ tools: ClusterTools) -> Bool {
        var info = stat()
        return lstat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR && info.st_mode & 0o777 == 0o700 && info.st_uid == tools.owner
    }

    // MARK: Configuration

    /// Whoever can enter the socket's folder; replication is for base backups.
    private static let access = "local all all trust\nlocal replication \(EmbeddedCluster.owner) trust\n"

    /// Written whole at every start. Nothing a row holds may reach the server's log: no statements, no parameters, no DETAIL.
    func writeConfiguration(for tools: ClusterTools, socketDirectory: String) throws {
        var lines: [String: String] = [
            "listen_addresses": "''", "unix_socket_directories": "'\(socketDirectory.replacing("'", with: "''"))'", "unix_socket_permissions": "0700",
            "max_connections": "80", "shared_buffers": "128MB", "max_wal_size": "2GB", "wal_compression": "on", "dynamic_shared_memory_type": "posix",
            "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "restart_after_crash": "on",
            // Whoever leaves a transaction open at a prompt holds everybody up. What the gateway runs has its own limits, and pg_dump has none.
            "idle_in_transaction_session_timeout": "10s",
            "timezone": "'UTC'", "log_timezone": "'UTC'", "lc_messages": "'C'", "jit": "off",
            "log_statement": "none", "log_error_verbosity": "terse", "log_min_error_statement": "panic", "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0", "log_min_duration_statement": "-1", "log_checkpoints": "off",
            "log_autovacuum_min_duration": "-1",
            // Seven files, one per day of the week, each begun anew.
            "logging_collector": "on", "log_directory": "'log'", "log_filename": "'postgres-%a.log'", "log_file_mode": "0600",
            "log_rotation_age": "1d", "log_rotation_size": "0", "log_truncate_on_rotation": "on",
        ]
        lines.merge(settings) { _, given in given }
        let text = lines.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)\n" }.joined()
        for (name, content) in [("postgresql.conf", text), ("postgresql.auto.conf", ""), ("pg_hba.conf", Self.access)] {
            let path = "\(cluster)/\(name)"
            do {
                try content.write(toFile: path, atomically: true, encoding: .utf8)
            } catch {
                throw ClusterError(code: .directory, detail: "cannot write \(path)")
            }
            try tools.own(path, mode: 0o600)
        }
    }
}
