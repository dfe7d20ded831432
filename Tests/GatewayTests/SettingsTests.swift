import Foundation
import Testing

@testable import gateway

@Suite struct SettingsTests {
    // MARK: The committed file

    @Test func `The committed gateway.toml holds exactly the built-in defaults`() throws {
        let committed = try Settings(file: Repository.root + "/gateway.toml", environment: [:])
        let builtIn = try Settings(file: nil, environment: [:])
        #expect(String(reflecting: committed) == String(reflecting: builtIn))
    }

    @Test func `The committed gateway.toml names every key there is`() async throws {
        let lines = try Repository.text("gateway.toml").split(separator: "\n").map(String.init)
        var keys: [String: [String]] = ["": []]
        var section = ""
        for line in lines where !line.hasPrefix("#") {
            if line.hasPrefix("[") {
                section = String(line.dropFirst().dropLast())
                keys[section] = []
            } else if let key = line.split(separator: " ").first {
                keys[section, default: []].append(String(key))
            }
        }
        for (section, names) in keys {
            let typo = section.isEmpty ? "no_such_key = 1\n" : "[\(section)]\nno_such_key = 1\n"
            let known = try await problem(in: typo).reason.split(separator: ": ").last?.split(separator: ", ").map(String.init)
            #expect(known == names.map { section.isEmpty ? $0 : "\(section).\($0)" }.sorted(), "section [\(section)]")
        }
        #expect(keys.count == 13)
    }

    @Test func `Every key of the committed gateway.toml has a comment right above it`() throws {
        let lines = try Repository.text("gateway.toml").split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() where line.contains(" = ") && !line.hasPrefix("#") {
            #expect(index > 0 && lines[index - 1].hasPrefix("# "), "\(line)")
        }
    }

    // MARK: Mistakes

    @Test func `A typing mistake stops with file, line and the known keys`() async throws {
        let problem = try await problem(in: "data_dir = \"/tmp/x\"\n\n[server]\nlisten = \"127.0.0.1:1\"\nlissten = \"127.0.0.1:2\"\n")
        #expect(problem.line == 5)
        #expect(problem.key == "server.lissten")
        #expect(
            problem.description.contains(
                "typo.toml:5: server.lissten is unknown; known keys: server.behind_proxy, server.listen, server.max_body, server.metrics_listen, server.public_url"
            ))
    }

    @Test func `An unknown section is named`() async throws {
        let problem = try await problem(in: "[servers]\nlisten = \"127.0.0.1:1\"\n")
        #expect(problem.line == 2)
        #expect(problem.reason.contains("there is no section [servers]"))
    }

    @Test func `What is no TOML is named with its line`() async throws {
        #expect(try await problem(in: "data_dir = \"/x\"\n[server\n").line == 2)
    }

    @Test(arguments: [
        ("data_dir = 7", 1, "must be a string in quotes"),
        ("data_dir = \"\"", 1, "must not be empty"),
        ("[server]\nlisten = \"8080\"", 2, "must be HOST:PORT"),
        ("[server]\nlisten = \"127.0.0.1:70000\"", 2, "must be HOST:PORT"),
        ("[server]\nbehind_proxy = \"yes\"", 2, "must be true or false, without quotes"),
        ("[server]\nmax_body = \"524288\"", 2, "must be a whole number without quotes"),
        ("[server]\nmax_body = 1", 2, "must be between 4096 and 4194304"),
        ("[server]\nmax_body = 1.5", 2, "must be a whole number without quotes"),
        ("[database]\nurl = \"mysql://localhost\"", 2, "must be a postgres:// URL"),
        ("[whatsapp]\nendpoint = \"https://web.whatsapp.com\"", 2, "must be a wss:// or ws:// URL"),
        ("[whatsapp]\npacing = \"fast\"", 2, "must be one of default, off"),
        ("[delivery]\nack_timeout_seconds = 0", 2, "must be between 1 and 600"),
        ("[limits]\nrequests_per_second_per_key = -1", 2, "must be between 0 and 100000"),
        ("[limits]\nburst_seconds = 0", 2, "must be between 1 and 3600"),
        ("[limits]\nrequests_per_second = 5", 2, "known keys: limits.burst_seconds, limits.pending_per_account"),
        ("[whatsapp]\nroot_key = \"12ab\"", 2, "must be 64 hexadecimal digits"),
        ("[whatsapp]\nclient_version = \"2.3000\"", 2, "must be three numbers"),
        ("[delivery]\n# short\nlease_ttl_seconds = 0", 3, "must be between 2 and 300"),
        ("[sandbox]\nport = -1", 2, "must be between 0 and 65535"),
        ("[log]\nlevel = \"loud\"", 2, "must be one of debug, info, warning, error"),
    ])
    func `A value that cannot be is refused with its line`(_ text: String, _ line: Int, _ reason: String) async throws {
        let problem = try await problem(in: text + "\n")
        #expect(problem.line == line)
        #expect(problem.reason.contains(reason))
    }

    @Test func `A file that is not there is named`() {
        #expect(throws: SettingsProblem.self) { try Settings(file: "/nowhere/gateway.toml", environment: [:]) }
    }

    // MARK: The environment

    @Test func `A variable overrides the file`() async throws {
        try await withTemporaryFolder { folder in
            let file = folder + "/gateway.toml"
            try "data_dir = \"/from/file\"\n[server]\nlisten = \"127.0.0.1:1\"\n".write(toFile: file, atomically: true, encoding: .utf8)
            let settings = try Settings(
                file: file,
                environment: [
                    "GATEWAY_SERVER_LISTEN": "127.0.0.1:2", "GATEWAY_SERVER_BEHIND_PROXY": "true", "GATEWAY_DELIVERY_LEASE_TTL_SECONDS": "3",
                ])
            #expect(settings.server.port == 2)
            #expect(settings.server.behindProxy)
            #expect(settings.delivery.leaseTimeToLive == .seconds(3))
            #expect(settings.dataDirectory == "/from/file")
            #expect(settings.keyDirectory == "/from/file/keys")
        }
    }

    @Test(arguments: [
        ("GATEWAY_SERVER_LISTN", "127.0.0.1:1", "overrides no key of gateway.toml"),
        ("GATEWAY_SANDBOX_SENDERS", "many", "must be a whole number"),
        ("GATEWAY_SERVER_BEHIND_PROXY", "yes", "must be true or false"),
    ])
    func `A variable that cannot be is named`(_ name: String, _ value: String, _ reason: String) {
        let problem = #expect(throws: SettingsProblem.self) { try Settings(file: nil, environment: [name: value]) }
        #expect(problem?.source == "environment")
        #expect(problem?.key == name)
        #expect(problem?.reason.contains(reason) == true)
    }

    @Test func `Variables of other programs do not matter`() throws {
        #expect(throws: Never.self) { try Settings(file: nil, environment: ["PATH": "/bin", "GATEWAYS": "2", "GATEWAY_CONFIG": "x"]) }
    }

    // MARK: Who may listen where

    @Test(arguments: ["0.0.0.0:8080", "192.168.0.7:8080", "[::]:8080", "gateway.example:8080", "127.0.0.1.example.com:8080"])
    func `A listener beyond loopback needs a proxy in front`(_ address: String) throws {
        let problem = #expect(throws: SettingsProblem.self) { try Settings(file: nil, environment: ["GATEWAY_SERVER_LISTEN": address]) }
        #expect(problem?.reason.contains("behind_proxy = true") == true)
        #expect(throws: Never.self) {
            try Settings(file: nil, environment: ["GATEWAY_SERVER_LISTEN": address, "GATEWAY_SERVER_BEHIND_PROXY": "true"])
        }
    }

    @Test(arguments: [("127.0.0.1:0", "127.0.0.1"), ("[::1]:8080", "::1"), ("localhost:8080", "localhost")])
    func `Loopback needs none`(_ address: String, _ host: String) throws {
        #expect(try Settings(file: nil, environment: ["GATEWAY_SERVER_LISTEN": address]).server.host == host)
    }

    @Test func `Metrics stay on loopback unless a proxy is in front, and can be switched off`() throws {
        func settings(_ values: [String: String]) throws -> Settings { try Settings(file: nil, environment: values) }
        #expect(try settings([:]).server.metrics?.port == 9_464)
        #expect(try settings(["GATEWAY_SERVER_METRICS_LISTEN": ""]).server.metrics == nil)
        let problem = #expect(throws: SettingsProblem.self) { try settings(["GATEWAY_SERVER_METRICS_LISTEN": "0.0.0.0:9464"]) }
        #expect(problem?.key == "GATEWAY_SERVER_METRICS_LISTEN")
        #expect(
            try settings(["GATEWAY_SERVER_METRICS_LISTEN": "0.0.0.0:9464", "GATEWAY_SERVER_BEHIND_PROXY": "true"]).server.metrics?.host == "0.0.0.0")
        #expect(throws: SettingsProblem.self) { try settings(["GATEWAY_SERVER_METRICS_LISTEN": "9464"]) }
    }

    private func problem(in text: String) async throws -> SettingsProblem {
        try await withTemporaryFolder { folder in
            let file = folder + "/typo.toml"
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            return try #require(#expect(throws: SettingsProblem.self) { try Settings(file: file, environment: [:]) })
        }
    }
}
