import Foundation
import Glibc
import Proof

/// A small file system in memory, which can be filled. Only root can make one.
struct SmallDisk: Sendable {
    let path: String
    let mebibytes: Int

    init(at path: String, mebibytes: Int) {
        self.path = path
        self.mebibytes = mebibytes
    }

    func mount() async throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let child = try ChildProcess(
            ChildProcess.find("mount"), ["-t", "tmpfs", "-o", "size=\(mebibytes)m,mode=755", "prove", path], output: "/dev/null")
        guard try await child.exitCode(within: .seconds(10)) == 0 else {
            throw ProofFailure("a disk that can be full needs a file system of its own, and this user may not mount one")
        }
    }

    /// Also while somebody still looks into it.
    func unmount() async {
        guard let umount = try? ChildProcess.find("umount"), let child = try? ChildProcess(umount, ["-l", path], output: "/dev/null") else { return }
        _ = try? await child.exitCode(within: .seconds(10))
    }

    /// Takes everything that is free and gives back so many KiB.
    static func fill(_ path: String, leaving kibibytes: Int = 0) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ProofFailure("\(path) cannot be made") }
        defer { close(descriptor) }
        for size in [1 << 20, 1 << 12] {
            let block = [UInt8](repeating: 0x66, count: size)
            while write(descriptor, block, size) == size {}
        }
        var status = stat()
        guard kibibytes > 0, fstat(descriptor, &status) == 0 else { return }
        ftruncate(descriptor, max(0, status.st_size - kibibytes * 1_024))
    }
}
