import Foundation
import Glibc
import Proof

/// A cgroup (version 1) that holds one process down; gone when `end()` has moved it out again.
struct ControlGroup {
    private let path: String

    /// Nil: this machine lets nobody make one.
    /// - Parameter limits: files of the controller and what to write there.
    init?(_ controller: String, process: Int32, limits: [(file: String, value: Int)]) {
        path = "/sys/fs/cgroup/\(controller)/prove-\(process)"
        guard mkdir(path, 0o755) == 0 else { return nil }
        for (file, value) in limits {
            guard Self.write("\(value)", to: "\(path)/\(file)") else {
                rmdir(path)
                return nil
            }
        }
        guard Self.write("\(process)", to: path + "/cgroup.procs") else {
            rmdir(path)
            return nil
        }
    }

    func end() {
        let processes = (try? String(contentsOfFile: path + "/cgroup.procs", encoding: .utf8)) ?? ""
        for process in processes.split(separator: "\n") {
            _ = Self.write(String(process), to: URL(fileURLWithPath: path).deletingLastPathComponent().path + "/cgroup.procs")
        }
        rmdir(path)
    }

    /// One write(2), as these files want it.
    private static func write(_ text: String, to path: String) -> Bool {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count
    }
}
