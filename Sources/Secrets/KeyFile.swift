import Glibc
import Primitives

/// One 32-byte key in a file of its own. Blocking: used at start and at rotation only.
enum KeyFile {
    static let length = 32

    /// Reads a key.
    /// - Throws: `tooWide` unless the mode is 0600 or tighter and the owner is root or us; `badKey`; `system`.
    static func read(_ path: String) throws(KeyRingFailure) -> SecretBytes {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw system("open", path) }
        defer { close(descriptor) }
        // Looked at through the descriptor, so that the file that is checked is the file that is read.
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw system("examine", path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw KeyRingFailure(.badKey, path: path, "\(path) is no ordinary file") }
        guard status.st_mode & 0o7777 & ~0o600 == 0 else {
            throw KeyRingFailure(
                .tooWide, path: path, "key file \(path) has mode \(octal(status.st_mode)), wider than 0600; run: chmod 600 \(quoted(path))")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw KeyRingFailure(.tooWide, path: path, "key file \(path) belongs to another user; run: chown \(geteuid()) \(quoted(path))")
        }
        guard status.st_size == length else {
            throw KeyRingFailure(.badKey, path: path, "key file \(path) has \(status.st_size) bytes instead of \(length)")
        }
        var bytes = [UInt8](repeating: 0, count: length)
        defer { Sodium.wipe(&bytes) }
        guard Glibc.read(descriptor, &bytes, length) == length else { throw system("read", path) }
        guard Set(bytes).count > 1 else { throw KeyRingFailure(.badKey, path: path, "key file \(path) repeats one byte: that is no key") }
        return SecretBytes(copying: bytes)
    }

    /// Makes a file with a fresh key. Its name appears only once the whole key is on the disk, and never replaces another file.
    /// - Returns: false if the name is taken already.
    static func create(_ name: String, in directory: String, random: any RandomSource) throws(KeyRingFailure) -> Bool {
        let path = directory + "/" + name
        let draft = directory + "/." + name + "." + Hex.encode(random.bytes(8))
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw system("create", draft) }
        defer { unlink(draft) }
        do {
            defer { close(descriptor) }
            var key = random.bytes(length)
            defer { Sodium.wipe(&key) }
            guard fchmod(descriptor, 0o600) == 0, Glibc.write(descriptor, key, length) == length, fsync(descriptor) == 0 else {
                throw system("write", draft)
            }
        }
        guard link(draft, path) == 0 else {
            if errno == EEXIST { return false }
            throw system("create", path)
        }
        try synchronize(directory)
        return true
    }

    /// Overwrites and removes a key. On flash or a copying file system old blocks may survive: there, encrypt the disk.
    static func destroy(_ path: String, in directory: String, random: any RandomSource) throws(KeyRingFailure) {
        // A file of mode 0400 is ours to remove all the same.
        chmod(path, 0o600)
        let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw system("open", path) }
        do {
            defer { close(descriptor) }
            guard Glibc.write(descriptor, random.bytes(length), length) == length, fsync(descriptor) == 0 else { throw system("overwrite", path) }
        }
        guard unlink(path) == 0 else { throw system("remove", path) }
        try synchronize(directory)
    }

    /// Makes the directory with mode 0700 if it is not there.
    static func makeDirectory(_ path: String) throws(KeyRingFailure) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw system("create", path) }
    }

    /// The names in the directory.
    /// - Throws: `tooWide` if others may put files into it; `system`.
    static func names(in directory: String) throws(KeyRingFailure) -> [String] {
        var status = stat()
        guard stat(directory, &status) == 0 else { throw system("examine", directory) }
        guard status.st_mode & 0o022 == 0 else {
            throw KeyRingFailure(
                .tooWide, path: directory, "others may write to \(directory) (mode \(octal(status.st_mode))); run: chmod go-w \(quoted(directory))")
        }
        guard let stream = opendir(directory) else { throw system("list", directory) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    private static func synchronize(_ directory: String) throws(KeyRingFailure) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw system("open", directory) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw system("synchronise", directory) }
    }

    private static func system(_ verb: String, _ path: String) -> KeyRingFailure {
        let reason = strerror(errno).map { String(cString: $0) } ?? "error \(errno)"
        return KeyRingFailure(.system, path: path, "cannot \(verb) \(path): \(reason)")
    }

    private static func octal(_ mode: mode_t) -> String {
        let digits = String(mode & 0o7777, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    private static func quoted(_ path: String) -> String {
        "'" + path.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
