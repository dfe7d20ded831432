import Foundation

/// The files of this package, and the gateway that was built from it.
enum Repository {
    struct Missing: Error, CustomStringConvertible {
        var description: String
    }

    /// Where the package was built, and where its files really are: the sources may be reached over a link.
    private static let roots = [URL(fileURLWithPath: #filePath), URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()]
        .map { $0.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path }
    static let root = roots[1]

    static func text(_ path: String) throws -> String { try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8) }

    /// The built gateway: `GATEWAY_BINARY`, else beside the tests or in a folder above them, else in the package's build folder.
    static func binary() throws -> String {
        var candidates = [ProcessInfo.processInfo.environment["GATEWAY_BINARY"]].compactMap { $0 }
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).standardizedFileURL.deletingLastPathComponent()
        while folder.path != "/" {
            candidates += [folder.path + "/gateway", folder.path + "/.build/debug/gateway"]
            folder.deleteLastPathComponent()
        }
        candidates += roots.flatMap { root in ["debug", "release"].map { "\(root)/.build/\($0)/gateway" } }
        let found = candidates.first { path in
            var isFolder = ObjCBool(false)
            return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
                && FileManager.default.isExecutableFile(atPath: path)
        }
        guard let found else { throw Missing(description: "no gateway was built; looked for \(candidates.joined(separator: ", "))") }
        return found
    }

    /// What a program did.
    struct Outcome: Sendable {
        var code: Int32
        var output: String
        var errors: String

        /// What it printed, read as a JSON object.
        var json: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any] ?? [:] }
    }

    /// Runs a program to its end in `folder`. Variables of this process that would configure a gateway are taken away.
    static func run(_ program: String, _ arguments: [String], environment: [String: String] = [:], in folder: String) async throws -> Outcome {
        let files = (output: "\(folder)/out-\(UUID().uuidString)", errors: "\(folder)/err-\(UUID().uuidString)")
        for file in [files.output, files.errors] { FileManager.default.createFile(atPath: file, contents: nil) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("GATEWAY_") }.merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: files.output)
        process.standardError = FileHandle(forWritingAtPath: files.errors)
        let code = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return Outcome(
            code: code, output: try String(contentsOfFile: files.output, encoding: .utf8),
            errors: try String(contentsOfFile: files.errors, encoding: .utf8))
    }
}

/// Runs `body` with a fresh folder and removes it afterwards.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gateway-verbs-\(UUID().uuidString.prefix(8))").path
    // Searchable by others: as root the cluster runs as another user.
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
}
