import Fakes
import Foundation
import Testing

@testable import gateway

@Suite struct AlertSettingsTests {
    private static let token = "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123"

    /// A file with that text and mode, for as long as `body` runs.
    private func withFile<Result>(_ text: String, mode: Int = 0o600, _ body: (String) throws -> Result) throws -> Result {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("secret-\(UUID().uuidString)").path
        FileManager.default.createFile(atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: mode])
        defer { unlink(path) }
        return try body(path)
    }

    private func settings(_ environment: [String: String]) throws -> Settings { try Settings(file: nil, environment: environment) }

    private func problem(_ environment: [String: String]) -> String {
        do {
            _ = try settings(environment)
            return "none"
        } catch { return "\(error)" }
    }

    @Test func `Without a token and a key there is neither bot nor e-mail`() throws {
        let alerts = try settings([:]).alerts
        #expect(alerts.telegram == nil && alerts.resend == nil && alerts.operatorAccount == nil && !alerts.includesTest)
    }

    @Test func `A token and a key come from files that nobody else may read, and appear in no description`() throws {
        try withFile(Self.token + "\n") { token in
            try withFile("re_secret_12345\n") { key in
                let settings = try settings([
                    "GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": token, "GATEWAY_ALERTS_RESEND_API_KEY_FILE": key,
                    "GATEWAY_ALERTS_RESEND_FROM": "Gateway <alerts@example.com>", "GATEWAY_ALERTS_TELEGRAM_BASE_URL": "http://127.0.0.1:8081",
                ])
                #expect(settings.alerts.telegram?.endpoint.base.description == "http://127.0.0.1:8081" && settings.alerts.telegram?.webhook == nil)
                #expect(settings.alerts.resend?.requestsPerSecond == 2)
                #expect(!String(reflecting: settings).contains("ABCDEF") && !String(reflecting: settings).contains("secret_12345"))
            }
        }
    }

    @Test(arguments: [0o644, 0o640, 0o660, 0o602, 0o700]) func `A secret that others may read or change stops the start`(_ mode: Int) throws {
        try withFile(Self.token, mode: mode) { path in
            let text = problem(["GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": path])
            #expect(text.contains("GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE") && text.contains("chmod 600") && !text.contains("ABCDEF"))
        }
    }

    @Test func `A pipe does not hold the start up, and another user's file is not trusted`() throws {
        let pipe = FileManager.default.temporaryDirectory.appendingPathComponent("secret-\(UUID().uuidString)").path
        #expect(mkfifo(pipe, 0o600) == 0)
        defer { unlink(pipe) }
        #expect(problem(["GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": pipe]).contains("no ordinary file"))
        // Only root can give a file away.
        guard geteuid() == 0 else { return }
        try withFile(Self.token) { path in
            #expect(chown(path, 65_534, 65_534) == 0)
            #expect(problem(["GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": path]).contains("chown 0"))
        }
    }

    @Test func `What is no secret, no address of ours or no sender stops the start and says which setting`() throws {
        try withFile("no token") { path in
            #expect(problem(["GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": path]).contains("holds no bot token"))
            #expect(problem(["GATEWAY_ALERTS_RESEND_API_KEY_FILE": path]).contains("holds no API key"))
        }
        #expect(problem(["GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": "/nowhere/token"]).contains("cannot be opened"))
        #expect(problem(["GATEWAY_ALERTS_TELEGRAM_BASE_URL": "http://api.telegram.org"]).contains("GATEWAY_ALERTS_TELEGRAM_BASE_URL"))
        #expect(problem(["GATEWAY_ALERTS_OPERATOR_ACCOUNT": "me"]).contains("must be an account's id"))
        try withFile("re_secret_12345") { path in
            #expect(problem(["GATEWAY_ALERTS_RESEND_API_KEY_FILE": path]).contains("must be an address"))
            #expect(
                problem(["GATEWAY_ALERTS_RESEND_API_KEY_FILE": path, "GATEWAY_ALERTS_RESEND_FROM": "Gateway <alerts@example.com"]).contains(
                    "must be an address"))
        }
        try withFile(Self.token) { path in
            let webhook = ["GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": path, "GATEWAY_ALERTS_TELEGRAM_MODE": "webhook"]
            #expect(problem(webhook).contains("is needed for the mode webhook"))
            #expect(problem(webhook.merging(["GATEWAY_ALERTS_TELEGRAM_WEBHOOK_SECRET_FILE": path]) { $1 }).contains("16 to 256"))
        }
    }

    @Test func `A nested section is read from the file, and its problems name their line`() throws {
        try withFile("[alerts]\ninclude_test = true\n\n[alerts.resend]\nrequests_per_second = 5000\n") { path in
            do {
                _ = try Settings(file: path, environment: [:])
                Issue.record("it was taken")
            } catch let problem as SettingsProblem {
                #expect(problem.line == 5 && problem.key == "alerts.resend.requests_per_second")
            }
        }
        let other = try withFile("[alerts]\ninclude_test = true\n") { try Settings(file: $0, environment: [:]) }
        #expect(other.alerts.includesTest)
    }

    @Test func `What clients call their key and the gateway's address overrides nothing`() throws {
        _ = try settings(["GATEWAY_KEY": "x", "GATEWAY_URL": "y"])
    }

    @Test func `The doctor asks Telegram and Resend themselves, and says what is wrong`() async throws {
        let telegram = try await FakeTelegram.start(token: Self.token)
        let resend = try await FakeResend.start()
        let checks = try await withFakes(telegram, resend)
        await telegram.stop()
        await resend.stop()
        let gone = await AlertChecks(settings: checks.settings, patience: .seconds(600)).reach()
        #expect(checks.good.map(\.result) == [.ok, .ok])
        #expect(checks.good.first?.detail.contains("@gateway_fake_bot") == true)
        #expect(resend.mails.isEmpty)
        #expect(checks.bad.map(\.result) == [.failed, .failed] && checks.bad.allSatisfy { $0.detail.contains("unauthorized") })
        #expect(gone.map(\.result) == [.failed, .failed])
        let none = await AlertChecks(settings: try settings([:]).alerts).reach()
        #expect(none.map(\.result) == [.skipped, .skipped])
    }

    private func withFakes(
        _ telegram: FakeTelegram, _ resend: FakeResend
    ) async throws -> (settings: Settings.Alerts, good: [HealthCheck], bad: [HealthCheck]) {
        func alerts(_ token: String, _ key: String) throws -> Settings.Alerts {
            try withFile(token) { token in
                try withFile(key) { key in
                    try settings([
                        "GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": token, "GATEWAY_ALERTS_RESEND_API_KEY_FILE": key,
                        "GATEWAY_ALERTS_RESEND_FROM": "alerts@example.com", "GATEWAY_ALERTS_TELEGRAM_BASE_URL": telegram.url,
                        "GATEWAY_ALERTS_RESEND_BASE_URL": resend.url,
                    ]).alerts
                }
            }
        }
        let good = try alerts(telegram.token, resend.key)
        let bad = try alerts("99:" + String(repeating: "x", count: 35), "re_somebody_else")
        return (
            good, await AlertChecks(settings: good, patience: .seconds(600)).reach(),
            await AlertChecks(settings: bad, patience: .seconds(600)).reach()
        )
    }
}
