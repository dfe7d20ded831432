import Foundation
import Primitives

@testable import Secrets

/// Runs `body` with the path of a fresh directory that is removed afterwards.
func withDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("ring-" + UUID().uuidString)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(at: directory) }
    return try await body(directory.path)
}

func setMode(_ mode: Int, of path: String) throws {
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
}

/// Costs as low as Argon2 allows.
extension Argon2Parameters {
    static let cheap = Argon2Parameters(memoryKiB: 8, passes: 1, lanes: 1)
}
