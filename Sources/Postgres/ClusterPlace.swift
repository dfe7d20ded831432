import Foundation
import Glibc

/// Where an embedded cluster really lies: in the wanted directory, unless the user it runs as cannot get there.
///
/// As root the cluster runs as `postgres`, who may not enter a folder such as /root. Then it lies in a folder of random name below
/// ``shared``, and a symbolic link `postgres.place` in the wanted directory leads there. Whoever deletes the directory deletes the way to the
/// cluster with it, so a new one is made beside new keys.
enum ClusterPlace {
    /// Made when first needed; its folders can be passed through by all and belong to root.
    static let shared = "/var/lib/gateway-clusters"

    /// - Throws: `ClusterError(.directory)`.
    static func resolve(_ directory: String, for user: ClusterUser?, shared: String = shared) throws -> String {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let wanted = try real(directory)
        guard let user, !canEnter(above: wanted, user) else { return wanted }
        let link = wanted + "/postgres.place"
        if let place = try? real(link), access(place + "/.", X_OK) == 0 { return place }
        guard unlink(link) == 0 || errno == ENOENT else { throw ClusterError(code: .directory, detail: "cannot replace \(link)") }
        guard mkdir(shared, 0o711) == 0 || errno == EEXIST else { throw ClusterError(code: .directory, detail: "cannot make \(shared)") }
        var template = Array("\(shared)/XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ClusterError(code: .directory, detail: "cannot make a folder in \(shared)") }
        let place = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard symlink(place, link) == 0 else { throw ClusterError(code: .directory, detail: "cannot make \(link)") }
        return place
    }

    private static func real(_ path: String) throws -> String {
        guard let resolved = realpath(path, nil) else { throw ClusterError(code: .directory, detail: "cannot resolve \(path)") }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Whether the user may pass through every folder above; the last one is ours to open.
    private static func canEnter(above path: String, _ user: ClusterUser) -> Bool {
        var folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        while true {
            var info = stat()
            guard stat(folder.path, &info) == 0 else { return false }
            let needed: mode_t = info.st_uid == user.id ? 0o100 : info.st_gid == user.group ? 0o010 : 0o001
            guard info.st_mode & needed != 0 else { return false }
            if folder.path == "/" { return true }
            folder.deleteLastPathComponent()
        }
    }
}
