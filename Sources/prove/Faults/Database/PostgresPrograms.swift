import Foundation
import Glibc
import Proof

/// PostgreSQL's own programs, run as the user that its clusters belong to.
struct PostgresPrograms: Sendable {
    let folder: String
    /// What makes root that user; empty for anybody else.
    let prefix: [String]
    private let user: (id: uid_t, group: gid_t)?

    static func find() throws -> PostgresPrograms {
        let root = "/usr/lib/postgresql"
        let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).compactMap(Int.init).sorted()
        guard let version = versions.last else { throw ProofFailure("there is no PostgreSQL in \(root)") }
        guard geteuid() == 0 else { return PostgresPrograms(folder: "\(root)/\(version)/bin", prefix: [], user: nil) }
        guard let user = getpwnam("postgres")?.pointee else { throw ProofFailure("there is no user postgres") }
        let prefix = [try ChildProcess.find("setpriv"), "--reuid=\(user.pw_uid)", "--regid=\(user.pw_gid)", "--clear-groups", "--"]
        return PostgresPrograms(folder: "\(root)/\(version)/bin", prefix: prefix, user: (user.pw_uid, user.pw_gid))
    }

    /// Runs one of them to its end; throws when it fails so many times, a tenth of a second apart. None that leaves a process behind.
    func run(_ program: String, _ arguments: [String], log: String, limit: Duration = .seconds(60), tries: Int = 1) async throws {
        let command = prefix + ["\(folder)/\(program)"] + arguments
        for _ in 0..<tries {
            let child = try ChildProcess(command[0], Array(command.dropFirst()), output: log)
            if try await child.exitCode(within: limit) == 0 { return }
            try await ContinuousClock().sleep(for: .milliseconds(100))
        }
        throw ProofFailure("\(program) failed; see \(log)")
    }

    /// Gives a file or folder to that user.
    func own(_ path: String, recursively: Bool = false) throws {
        guard let user else { return }
        if recursively {
            for name in try FileManager.default.subpathsOfDirectory(atPath: path) { try own("\(path)/\(name)") }
        }
        guard chown(path, user.id, user.group) == 0 else { throw ProofFailure("\(path) cannot be given away") }
    }
}
