import Foundation
import Glibc

/// A file with a secret of the operator's, such as a bot's token.
enum SecretFile {
    struct Problem: Error {
        /// Goes on from the name of the setting.
        var reason: String
    }

    private static let limit = 4_096

    /// What it holds. Refused unless it is an ordinary file, root's or ours, that its owner alone may read, as key files are.
    static func read(_ path: String) throws(Problem) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Problem(reason: "names \(path), which cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Problem(reason: "names \(path), which is no ordinary file")
        }
        guard status.st_mode & 0o7777 & ~0o600 == 0 else {
            throw Problem(reason: "names \(path), which others may read or change; run: chmod 600 '\(path)'")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw Problem(reason: "names \(path), which belongs to another user; run: chown \(geteuid()) '\(path)'")
        }
        var bytes = [UInt8](repeating: 0, count: limit + 1)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard (1...limit).contains(count) else { throw Problem(reason: "names \(path), which is empty or too long") }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
