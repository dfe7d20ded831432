import Foundation
import Testing

@testable import gateway

/// The built program, run as people run it.
@Suite struct VerbTests {
    @Test func `Help succeeds and names every verb`() async throws {
        try await withTemporaryFolder { folder in
            let outcome = try await Repository.run(Repository.binary(), ["--help"], in: folder)
            #expect(outcome.code == 0)
            for verb in [
                "serve", "sandbox", "migrate", "doctor", "restored", "config", "cron", "account", "key", "sender", "pool", "route", "send", "message",
            ] {
                #expect(outcome.output.contains("  \(verb) "), "\(verb)")
            }
        }
    }

    @Test(arguments: [["frobnicate"], ["key", "create"], ["account", "close", "no-id"], ["serve", "--roles", "cook"]])
    func `Bad usage exits with 2 and says so`(_ arguments: [String]) async throws {
        try await withTemporaryFolder { folder in
            let outcome = try await Repository.run(Repository.binary(), arguments, environment: ["GATEWAY_DATA_DIR": folder + "/data"], in: folder)
            #expect(outcome.code == 2)
            #expect(!outcome.errors.isEmpty)
            #expect(outcome.output.isEmpty)
        }
    }

    @Test func `config check with a typo exits with 2 and names the line`() async throws {
        try await withTemporaryFolder { folder in
            try "[log]\n# how much\nlevle = \"info\"\n".write(toFile: folder + "/gateway.toml", atomically: true, encoding: .utf8)
            let outcome = try await Repository.run(Repository.binary(), ["config", "check"], in: folder)
            #expect(outcome.code == 2)
            #expect(outcome.errors.contains("gateway.toml:3: log.levle is unknown; known keys: log.format, log.level"))
        }
    }

    @Test func `config check accepts the committed file`() async throws {
        try await withTemporaryFolder { folder in
            let outcome = try await Repository.run(
                Repository.binary(), ["config", "check", "--config", Repository.root + "/gateway.toml"], in: folder)
            #expect(outcome.code == 0)
            #expect(outcome.output == "the configuration is valid\n")
        }
    }

    @Test func `An account's life on the command line, on a cluster that starts and stops by itself`() async throws {
        try await withTemporaryFolder { folder in
            let binary = try Repository.binary()
            func gateway(_ arguments: String...) async throws -> Repository.Outcome {
                try await Repository.run(binary, arguments, environment: ["GATEWAY_DATA_DIR": folder + "/data"], in: folder)
            }
            // Migrations, twice.
            #expect(try await gateway("migrate").code == 0)
            #expect(try await gateway("migrate").code == 0)

            // An account and its keys.
            let created = try await gateway("account", "create", "Toko Ani", "--json")
            #expect(created.code == 0)
            let account = try #require(created.json["id"] as? String)
            #expect(account.hasPrefix("acc_"))
            #expect(try await gateway("account", "list").output.contains("\(account)  active  Toko Ani"))
            let key = try await gateway("key", "create", "--account", account, "--label", "shop", "--test", "--json").json
            let secret = try #require(key["secret"] as? String)
            let id = try #require(key["id"] as? String)
            #expect(secret.hasPrefix("wg_test_"))
            let listed = try await gateway("key", "list", "--account", account)
            #expect(listed.output.contains("\(id)  test  active   shop"))
            #expect(!listed.output.contains(secret.dropFirst(20).prefix(43)))
            #expect(try await gateway("key", "revoke", "--account", account, id).code == 0)
            #expect(try await gateway("key", "list", "--account", account).output.contains("\(id)  test  revoked  shop"))
            let again = try await gateway("key", "revoke", "--account", account, id)
            #expect(again.code == 1)
            #expect(again.errors.contains("there is no active key"))

            // Without a sender nothing is accepted.
            #expect(try await gateway("sender", "list", "--account", account).output == "\n")
            let refused = try await gateway("send", "--account", account, "--to", "+628123456789", "--test", "Halo")
            #expect(refused.code == 1)
            #expect(refused.errors.contains("no_eligible_sender"))
            let noNumber = try await gateway("send", "--account", account, "--to", "08123", "--test", "Halo")
            #expect(noNumber.code == 2)
            #expect(!noNumber.errors.contains("08123"))

            for wrong in [["--ttl", "5"], ["--policy", "best"], ["--priority", "urgent"], ["--send-at", "tomorrow"], ["--pool", "x"]] {
                let arguments = ["send", "--account", account, "--to", "+628123456789", "--test"] + wrong + ["Halo"]
                let outcome = try await Repository.run(binary, arguments, environment: ["GATEWAY_DATA_DIR": folder + "/data"], in: folder)
                #expect(outcome.code == 2, "\(wrong): \(outcome.errors)")
            }
            let unknown = "msg_00000000000000000000000000"
            #expect(try await gateway("message", "cancel", "--account", account, unknown).errors.contains("there is no message"))

            // The default pool is there, can be changed and cannot go; a pool needs senders of the account.
            let pools = try #require(try await gateway("pool", "list", "--account", account, "--json").json["data"] as? [[String: Any]])
            let pool = try #require(pools.first?["id"] as? String)
            let changed = try await gateway(
                "pool", "update", "--account", account, "--policy", "least_busy", "--limit", "per_minute=20", "--limit", "quiet_hours=21:00-07:00",
                pool,
                "--json")
            #expect(changed.code == 0, "\(changed.errors)")
            #expect(changed.json["policy"] as? String == "least_busy" && changed.json["is_default"] as? Bool == true)
            #expect((changed.json["limits"] as? [String: Any])?["per_minute"] as? Int == 20)
            #expect(try await gateway("pool", "show", "--account", account, pool).output.contains("quiet_hours = 21:00-07:00"))
            let conflict = try await gateway("pool", "update", "--account", account, "--limit", "per_minute=20", "--limit", "per_hour=10", pool)
            #expect(conflict.code == 2 && conflict.errors.contains("/limits/per_minute"))
            #expect(try await gateway("pool", "delete", "--account", account, pool).errors.contains("default pool"))
            let sender = "snd_00000000000000000000000000"
            let foreign = try await gateway("pool", "create", "--account", account, "--name", "a", "--member", "\(sender):3@62,60")
            #expect(foreign.code == 2 && foreign.errors.contains("/members/0/sender"))
            #expect(try await gateway("pool", "create", "--account", account, "--name", "a").errors.contains("at least one sender"))
            #expect(try await gateway("sender", "limits", "--account", account, sender).errors.contains("there is no sender"))
            #expect(try await gateway("sender", "resume", "--account", account, sender).errors.contains("there is no sender"))
            let explained = try await gateway("route", "explain", "--account", account, "--to", "+628123456789", "--test", "--json")
            #expect(explained.code == 1 && explained.json["failure"] as? String == "no_eligible_sender", "\(explained.output)")

            // The hourly job, and a look at everything.
            let hourly = try await gateway("cron", "hourly")
            #expect(hourly.code == 0)
            #expect(hourly.output.contains("contact_cache"))
            let doctor = try await gateway("doctor", "--offline")
            #expect(doctor.code == 0, "\(doctor.output)")

            // The end of the account; nothing runs on.
            let closed = try await gateway("account", "close", account, "--patience", "0", "--json")
            #expect(closed.code == 0)
            #expect(closed.json["receipt"] is String)
            #expect(!FileManager.default.fileExists(atPath: folder + "/data/postgres/postmaster.pid"))
        }
    }
}
