import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@testable import gateway

/// `gateway doctor` and the start with keys that are not there, with the built program.
@Suite(.timeLimit(.minutes(10))) struct DoctorTests {
    private static func results(_ outcome: Repository.Outcome) -> [String: String] {
        let checks = outcome.json["checks"] as? [[String: String]] ?? []
        return Dictionary(checks.compactMap { check in check["check"].map { ($0, check["result"] ?? "") } }) { first, _ in first }
    }

    @Test func `The doctor finds what is missing, changes nothing, and is content once all is there`() async throws {
        try await withTemporaryFolder { folder in
            let binary = try Repository.binary()
            func gateway(_ arguments: String...) async throws -> Repository.Outcome {
                try await Repository.run(binary, arguments, environment: ["GATEWAY_DATA_DIR": folder + "/data"], in: folder)
            }
            // Nothing is there, and nothing is made.
            let before = try await gateway("doctor", "--offline", "--json")
            #expect(before.code == 1)
            #expect(Self.results(before)["database"] == "failed")
            #expect(!FileManager.default.fileExists(atPath: folder + "/data"))

            _ = try await gateway("account", "create", "Toko Ani")
            let well = try await gateway("doctor", "--offline", "--json")
            let results = Self.results(well)
            #expect(results.count == 22)
            // The job has not run yet, and this shell may have few files.
            #expect(Set(results.filter { $0.value == "failed" }.keys).isSubset(of: ["hourly job", "partitions"]), "\(results)")
            #expect(results["sealed row"] == "ok" && results["keys"] == "ok" && results["logins"] == "ok" && results["migrations"] == "ok")
            #expect(results["dns"] == "skipped" && results["egress"] == "skipped")
            #expect(try await gateway("cron", "hourly").code == 0)
            let text = try await gateway("doctor", "--offline")
            #expect(text.code == 0, "\(text.output)")
            #expect(!text.output.contains("Toko Ani"))

            // Bad usage is bad usage.
            #expect(try await gateway("doctor", "--target", "ftp://example.com").code == 2)
            // Nobody listens on port 1: egress is looked at, and fails.
            let unreached = try await gateway("doctor", "--target", "http://127.0.0.1:9", "--json")
            #expect(unreached.code == 1 && Self.results(unreached)["egress"] == "failed" && Self.results(unreached)["dns"] == "skipped")

            // F103: without its keys, or with others, nothing starts and nothing is written.
            let keys = folder + "/data/keys"
            try FileManager.default.moveItem(atPath: keys, toPath: folder + "/away")
            for isOther in [false, true] {
                if isOther {
                    try FileManager.default.createDirectory(atPath: keys, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                    for name in ["gateway-root", "kek-000001"] {
                        let bytes = Data((0..<32).map { UInt8($0) ^ UInt8(name.utf8.count) })
                        FileManager.default.createFile(atPath: keys + "/" + name, contents: bytes, attributes: [.posixPermissions: 0o600])
                    }
                }
                let names = (try? FileManager.default.contentsOfDirectory(atPath: keys))?.sorted()
                for verb in [["serve"], ["account", "create", "Toko Budi"], ["migrate"]] {
                    let refused = try await Repository.run(binary, verb, environment: ["GATEWAY_DATA_DIR": folder + "/data"], in: folder)
                    #expect(refused.code == 1, "\(verb) \(isOther)")
                    #expect(refused.errors.contains(keys), "\(verb) \(isOther)")
                }
                #expect((try? FileManager.default.contentsOfDirectory(atPath: keys))?.sorted() == names)
                #expect(Self.results(try await gateway("doctor", "--offline", "--json"))["keys"] == "failed")
                try? FileManager.default.removeItem(atPath: keys)
            }
            try FileManager.default.moveItem(atPath: folder + "/away", toPath: keys)
            // A key that others can read is refused by name.
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: keys + "/kek-000001")
            let wide = try await gateway("account", "list")
            #expect(wide.code == 1 && wide.errors.contains("chmod 600"))
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: keys + "/kek-000001")
            let after = try await gateway("account", "list")
            #expect(after.code == 0 && after.output.contains("Toko Ani") && !after.output.contains("Toko Budi"))
        }
    }

    @Test func `Logins that see everything, and logins that are one, are noticed`() async throws {
        try await withTestGateway { test in
            let databases = test.gateway.databases
            #expect(await DatabaseChecks.reach(databases, test.owner).map(\.result) == [.ok, .ok])
            #expect(await DatabaseChecks.migrations(test.owner).result == .ok)
            let wide = await DatabaseChecks.reach(.init(api: databases.api, engine: test.owner, cron: databases.cron), test.owner)
            #expect(wide.last?.result == .failed && wide.last?.detail.contains("engine") == true)
            let shared = await DatabaseChecks.reach(.init(api: databases.api, engine: databases.api, cron: databases.api), test.owner)
            #expect(shared.last?.result == .warning)
            try await test.owner.execute("test.newer", "INSERT INTO gateway_migrations (version, name, checksum) VALUES (9999, 'next', '\\x00')")
            #expect(await DatabaseChecks.migrations(test.owner).result == .warning)
            let latest = try #require(Migrations.all.map(\.version).max())
            try await test.owner.execute("test.older", "DELETE FROM gateway_migrations WHERE version = \(latest)")
            #expect(await DatabaseChecks.migrations(test.owner).result == .failed)
        }
    }
}
