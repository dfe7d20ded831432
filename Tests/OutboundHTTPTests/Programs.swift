import Foundation
import Glibc

/// Runs what blocks on a thread of its own: Swift's pool has one per core.
func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Swift.Result { try body() }) }.start()
    }
}

/// Another program, without input; ended with SIGKILL if nobody stops it.
struct Program: Sendable {
    struct Failed: Error {}

    private let pid: pid_t
    private let output: Int32

    private init(_ path: String, _ arguments: [String]) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Failed() }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var arguments = ([path] + arguments).map { strdup($0) } + [nil]
        var environment = [strdup("PATH=/usr/sbin:/usr/bin:/bin"), nil]
        var pid: pid_t = 0
        let code = posix_spawn(&pid, path, &actions, nil, &arguments, &environment)
        for text in arguments + environment { free(text) }
        posix_spawn_file_actions_destroy(&actions)
        close(ends[1])
        self.pid = pid
        output = ends[0]
        guard code == 0 else {
            close(output)
            throw Failed()
        }
    }

    /// Runs it to its end, which must be a success. What it prints is not read and must be little.
    static func run(_ path: String, _ arguments: [String]) async throws {
        let status = try await blocking {
            let program = try Program(path, arguments)
            defer { close(program.output) }
            return program.waitForEnd()
        }
        guard status == 0 else { throw Failed() }
    }

    /// Starts it and waits for a line with this word; returns both. What it prints later is read and dropped.
    static func start(_ path: String, _ arguments: [String], until ready: String) async throws -> (program: Program, line: String) {
        try await blocking {
            let program = try Program(path, arguments)
            var text: [UInt8] = []
            while true {
                let lines = text.split(separator: 10, omittingEmptySubsequences: false).dropLast().map { String(decoding: $0, as: UTF8.self) }
                if let line = lines.first(where: { $0.contains(ready) }) {
                    Thread { while program.read() != nil {} }.start()
                    return (program, line)
                }
                guard let more = program.read() else {
                    kill(program.pid, SIGKILL)
                    _ = program.waitForEnd()
                    throw Failed()
                }
                text += more
            }
        }
    }

    func stop() async {
        kill(pid, SIGKILL)
        _ = try? await blocking { waitForEnd() }
    }

    private func read() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = Glibc.read(output, &buffer, buffer.count)
        return count > 0 ? Array(buffer[..<count]) : nil
    }

    private func waitForEnd() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status
    }
}

/// Compressed by the system's gzip.
func gzip(_ bytes: [UInt8]) async throws -> [UInt8] {
    let place = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try Data(bytes).write(to: place)
    try await Program.run("/bin/gzip", ["-9", place.path])
    let packed = place.appendingPathExtension("gz")
    defer { try? FileManager.default.removeItem(at: packed) }
    return [UInt8](try Data(contentsOf: packed))
}

/// A self-signed certificate in a folder of its own, removed with the value.
final class TestCertificate: Sendable {
    let folder: String
    var certificate: String { folder + "/cert.pem" }
    var key: String { folder + "/key.pem" }

    init(name: String, isExpired: Bool = false) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "outbound-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let common = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)", "-keyout", key]
        let alternative = ["-addext", "subjectAltName=DNS:\(name)"]
        guard isExpired else {
            try await Program.run("/usr/bin/openssl", common + alternative + ["-x509", "-days", "30", "-out", certificate])
            return
        }
        let settings = """
            [ca]
            default_ca = own
            [own]
            new_certs_dir = \(folder)
            database = \(folder)/index
            rand_serial = yes
            default_md = sha256
            policy = any
            copy_extensions = copy
            [any]
            commonName = supplied
            """
        try Data(settings.utf8).write(to: URL(filePath: folder + "/ca.cnf"))
        try Data().write(to: URL(filePath: folder + "/index"))
        try await Program.run("/usr/bin/openssl", common + alternative + ["-out", folder + "/request.pem"])
        try await Program.run(
            "/usr/bin/openssl",
            [
                "ca", "-selfsign", "-batch", "-notext", "-config", folder + "/ca.cnf", "-keyfile", key, "-in", folder + "/request.pem", "-out",
                certificate,
                "-startdate", "20200101000000Z", "-enddate", "20200201000000Z",
            ])
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Runs a server with this certificate, which answers every GET.
    func serve(_ options: [String] = [], _ body: (Int) async throws -> Void) async throws {
        let (server, line) = try await Program.start(
            "/usr/bin/openssl", ["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", certificate, "-key", key] + options, until: "ACCEPT")
        do {
            guard let port = line.split(separator: ":").last.flatMap({ Int($0) }) else { throw Program.Failed() }
            try await body(port)
            await server.stop()
        } catch {
            await server.stop()
            throw error
        }
    }
}

/// A port that was free a moment ago.
func freePort() throws -> Int {
    let server = try ToyServer { _ in }
    server.stop()
    return server.port
}
