import Domain
import Fakes
import Foundation
import Primitives
import TestSupport
import Testing

@testable import gateway

/// What Telegram and Resend post to a node, and what strangers do in their place.
@Suite struct AlertHookTests {
    private static let secret = "a-secret_of_the_test_0123456789"
    private static let signingKey = Array("a key of thirty-two bytes length".utf8)

    @Test func `Telegram's updates count with its secret only, and each of them once`() async throws {
        try await withHooks { node, telegram, resend in
            for await call in telegram.stream where call.method == "setWebhook" { break }
            #expect(telegram.webhook?.secret == Self.secret && telegram.webhook?.url == "https://gateway.example/hooks/telegram")

            let gateway = node.test.gateway
            let account = try await gateway.accounts.create(name: "Toko", now: Date()).id
            let link = try await gateway.alerts.startTelegramLink(account: account, now: Date())
            let other = try await gateway.alerts.startTelegramLink(account: account, now: Date())
            func update(_ id: Int, _ token: String) -> String {
                #"{"update_id":\#(id),"message":{"message_id":1,"chat":{"id":9,"type":"private"},"text":"/start \#(token)"}}"#
            }
            func isTaken(_ id: TelegramLink.ID) async throws -> Bool {
                guard case .waiting = try await gateway.alerts.telegramLink(id, account: account, now: Date())?.state else { return true }
                return false
            }
            let path = node.api + "/hooks/telegram"
            let header = "x-telegram-bot-api-secret-token"
            for forged in ["", "x", String(Self.secret.dropLast()), Self.secret + "0"] {
                #expect(try await node.post(path, update(1, link.token), headers: [header: forged]).status == 404, "\(forged)")
            }
            #expect(try await node.post(path, update(1, link.token), headers: [:]).status == 404)
            #expect(try await !isTaken(link.id))
            #expect(try await node.post(path, update(1, link.token), headers: [header: Self.secret]).status == 200)
            #expect(try await isTaken(link.id))
            #expect(try await node.post(path, update(1, other.token), headers: [header: Self.secret]).status == 200)
            #expect(try await !isTaken(other.id))
            for rubbish in ["", "{", "[]", #"{"update_id":"7"}"#] {
                #expect(try await node.post(path, rubbish, headers: [header: Self.secret]).status == 200, "\(rubbish)")
            }
            #expect(try await node.get(path).status == 405)
        }
    }

    @Test func `A bounce that Resend signed blocks the address, and nobody else's does`() async throws {
        try await withHooks { node, telegram, resend in
            let gateway = node.test.gateway
            let account = try await gateway.accounts.create(name: "Toko", now: Date()).id
            let address = try #require(EmailAddress("ops@example.com"))
            let made = try await gateway.alerts.createEmail(account: account, address: address, ChannelFields(), idempotencyKey: nil, now: Date())
            let channel = try #require(made).channel.id
            var mail: FakeResend.Mail?
            for await sent in resend.stream {
                mail = sent
                break
            }
            let sent = try #require(mail)
            let token = try #require(sent.text.firstMatch(of: /token=([A-Za-z0-9_-]{43})/)?.1)
            #expect(try await gateway.alerts.verifyEmail(token: String(token), now: Date()) != nil)

            func bounce(_ key: [UInt8], type: String = "email.bounced") async throws -> Int {
                let body = #"{"type":"\#(type)","data":{"email_id":"\#(sent.id)"}}"#
                let time = "\(Int(Date().timeIntervalSince1970))"
                let tag = Data(HMAC256.authenticate(Array("msg_1.\(time).\(body)".utf8), key: key)).base64EncodedString()
                return try await node.post(
                    node.api + "/hooks/resend", body, headers: ["svix-id": "msg_1", "svix-timestamp": time, "svix-signature": "v1,\(tag)"]
                ).status
            }
            func state() async throws -> AlertChannel.State? { try await gateway.alerts.channel(channel, account: account)?.state }
            #expect(try await bounce(Array("another key of thirty-two bytes.".utf8)) == 404)
            #expect(try await bounce(Self.signingKey, type: "email.delivered") == 200)
            #expect(try await state() == .active)
            // Resend may say it before this node has written down that the e-mail was taken: it says it again then.
            while try await state() == .active { #expect(try await bounce(Self.signingKey) == 200) }
            #expect(try await state() == .blocked)
        }
    }

    private func withHooks(_ body: @escaping @Sendable (TestNode, FakeTelegram, FakeResend) async throws -> Void) async throws {
        let telegram = try await FakeTelegram.start()
        let resend = try await FakeResend.start()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hooks-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        func file(_ name: String, _ text: String) -> String {
            FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
            return "\(folder)/\(name)"
        }
        let settings = [
            "GATEWAY_SERVER_PUBLIC_URL": "https://gateway.example", "GATEWAY_ALERTS_TELEGRAM_TOKEN_FILE": file("token", telegram.token),
            "GATEWAY_ALERTS_TELEGRAM_BASE_URL": telegram.url, "GATEWAY_ALERTS_TELEGRAM_MODE": "webhook",
            "GATEWAY_ALERTS_TELEGRAM_WEBHOOK_SECRET_FILE": file("secret", Self.secret), "GATEWAY_ALERTS_RESEND_API_KEY_FILE": file("key", resend.key),
            "GATEWAY_ALERTS_RESEND_BASE_URL": resend.url, "GATEWAY_ALERTS_RESEND_FROM": "alerts@example.com",
            "GATEWAY_ALERTS_RESEND_WEBHOOK_SECRET_FILE": file("signing", "whsec_" + Data(Self.signingKey).base64EncodedString()),
        ]
        do {
            try await withTestNode(settings: settings) { try await body($0, telegram, resend) }
        } catch {
            await telegram.stop()
            await resend.stop()
            throw error
        }
        await telegram.stop()
        await resend.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}
