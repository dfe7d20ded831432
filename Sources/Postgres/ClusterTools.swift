import Foundation
import Glibc

/// Why the private cluster cannot run; the process must not start.
package struct ClusterError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable { case noBinaries, noUser, directory, initialisation, start, stop, busy }

    package var code: Code
    /// A sentence for the operator; paths at most.
    package var detail: String

    package var description: String { "\(code.rawValue): \(detail)" }
}

/// PostgreSQL's programs and the user they run as.
struct ClusterTools: Sendable {
    /// The folder with `postgres`, `initdb` and `pg_ctl`.
    var binaries: String
    var version: Int
    /// nil: our own user. Set when we are root, as which PostgreSQL refuses to run.
    var user: ClusterUser?

    static let oldestVersion = 15

    /// Finds the programs of a version, or the newest there are.
    static func find(version wanted: Int?) throws -> ClusterTools {
        let root = "/usr/lib/postgresql"
        var found = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).compactMap(Int.init).map {
            (version: $0, path: "\(root)/\($0)/bin")
        }
        for folder in (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":") {
            let path = URL(fileURLWithPath: "\(folder)/initdb").resolvingSymlinksInPath().deletingLastPathComponent().path
            if isComplete(path), let version = version(of: path) { found.append((version, path)) }
        }
        let usable = found.filter { isComplete($0.path) && $0.version >= oldestVersion && (wanted == nil || $0.version == wanted) }
        guard let best = usable.max(by: { $0.version < $1.version }) else {
            throw ClusterError(
                code: .noBinaries,
                detail: "PostgreSQL \(wanted.map(String.init) ?? "\(oldestVersion) or newer") is not installed; set database.url or install it")
        }
        return ClusterTools(binaries: best.path, version: best.version, user: geteuid() == 0 ? try .postgres() : nil)
    }

    private static func isComplete(_ path: String) -> Bool {
        ["postgres", "initdb", "pg_ctl"].allSatisfy { access("\(path)/\($0)", X_OK) == 0 }
    }

    /// The version of an installation outside the usual place, by asking it.
    private static func version(of path: String) -> Int? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "\(path)/postgres")
        process.arguments = ["--version"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let digits = text.drop { !$0.isNumber }.prefix { $0.isNumber }
        return Int(digits)
    }

    /// Runs one of the programs as the cluster's user and gives its exit code. What it prints goes nowhere.
    func run(_ program: String, _ arguments: [String]) async throws -> Int32 {
        var command = ["\(binaries)/\(program)"] + arguments
        if let user { command = try user.prefix() + command }
        command = ["/bin/sh", "-c", "cd / && exec \"$0\" \"$@\""] + command
        let process = try spawn(command, environment: ["PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"])
        return await withCheckedContinuation { continuation in
            // waitpid() blocks, so it gets a thread; it ends with the program.
            Thread.detachNewThread {
                var status: Int32 = 0
                while waitpid(process, &status, 0) < 0 && errno == EINTR {}
                continuation.resume(returning: status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f))
            }
        }
    }

    /// Gives a file or folder to the cluster's user, with these rights.
    func own(_ path: String, mode: mode_t) throws {
        guard chmod(path, mode) == 0, user.map({ chown(path, $0.id, $0.group) == 0 }) ?? true else {
            throw ClusterError(code: .directory, detail: "cannot set owner and mode of \(path)")
        }
    }

    /// Whose files the cluster's are.
    var owner: uid_t { user?.id ?? geteuid() }
}

/// The unprivileged user that root's cluster runs as.
struct ClusterUser: Sendable {
    var name: String
    var id: uid_t
    var group: gid_t

    static func postgres() throws -> ClusterUser {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 4_096)
        guard getpwnam_r("postgres", &entry, &buffer, buffer.count, &found) == 0, found != nil else {
            throw ClusterError(
                code: .noUser, detail: "as root, PostgreSQL runs as the user postgres, and there is none; make it or run as another user")
        }
        return ClusterUser(name: "postgres", id: entry.pw_uid, group: entry.pw_gid)
    }

    /// The command that becomes this user.
    func prefix() throws -> [String] {
        if let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].first(where: FileManager.default.isExecutableFile) {
            return [setpriv, "--reuid=\(id)", "--regid=\(group)", "--clear-groups", "--"]
        }
        if let runuser = ["/usr/sbin/runuser", "/sbin/runuser"].first(where: FileManager.default.isExecutableFile) {
            return [runuser, "-u", name, "--"]
        }
        throw ClusterError(code: .noUser, detail: "neither setpriv nor runuser is installed, so root cannot become \(name)")
    }
}

/// An flock() on a file; the kernel lets go of it when the process ends, however it ends.
final class FileLock: Sendable {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if descriptor < 0 { throw ClusterError(code: .directory, detail: "cannot open \(path)") }
    }

    deinit { close(descriptor) }

    func tryExclusive() -> Bool { flock(descriptor, LOCK_EX | LOCK_NB) == 0 }
    func tryShared() -> Bool { flock(descriptor, LOCK_SH | LOCK_NB) == 0 }
    func unlock() { _ = flock(descriptor, LOCK_UN) }
}

/// Starts a program in a process group of its own, with no input, no output and none of our open files.
///
/// Not Foundation's `Process`: that one takes a file it lends to the child being closed as the child's end, and `pg_ctl start` leaves a
/// server behind which would keep it open.
private func spawn(_ command: [String], environment: [String]) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    for descriptor in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap(Int32.init) where descriptor > 2 {
        let flags = fcntl(descriptor, F_GETFD)
        if flags >= 0, flags & FD_CLOEXEC == 0 { posix_spawn_file_actions_addclose(&actions, descriptor) }
    }
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    var process: pid_t = 0
    let code = withCStrings(command) { arguments in
        withCStrings(environment) { posix_spawn(&process, command[0], &actions, &attributes, arguments, $0) }
    }
    guard code == 0 else { throw ClusterError(code: .start, detail: "cannot run \(command[0])") }
    return process
}

private func withCStrings<Result>(_ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result) -> Result {
    let copies = strings.map { strdup($0) } + [nil]
    defer { copies.forEach { free($0) } }
    return copies.withUnsafeBufferPointer { buffer in
        withUnsafePointer(to: nil as UnsafeMutablePointer<CChar>?) { body(buffer.baseAddress ?? $0) }
    }
}
