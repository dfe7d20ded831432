@testable import Alerting
@testable import Domain
import Fakes
import Foundation
import Logging
import OutboundHTTP
import Postgres
import Synchronization
import TestSupport

/// A gateway with one account and one ready test sender, a bot and e-mail at fakes, and a clock that moves only when told to: also the fakes' limits
/// and every wait for the pace go by it.
struct AlertRig: Sendable {
    let test: TestGateway
    let telegram: FakeTelegram
    let resend: FakeResend
    let service: AlertingService
    let account: Account.ID
    let sender: OwnedSender
    /// How many calls were looked at.
    let mark = Mark()
    /// Where the account's people sit.
    let chat = FakeTelegram.Chat(4_242, name: "Siti", language: "en")

    var gateway: Gateway { test.gateway }
    var clock: TestClock { test.clock }

    /// Watches, sends and listens for so long, every ten seconds.
    func run(for seconds: Int) async throws {
        for _ in 0..<max(1, seconds / 10) {
            clock.advance(by: 10)
            try await turn()
        }
    }

    /// One turn of everything, at this moment.
    func turn() async throws {
        try await service.watch()
        while try await service.deliver() > 0 {}
        _ = await service.poll()
        while try await service.deliver() > 0 {}
        try await service.deliverReceipts()
    }

    func state(_ state: SenderState, of sender: OwnedSender? = nil) async throws {
        guard try await gateway.senders.recordState(sender ?? self.sender, state, now: test.now) else {
            throw TestFailure("the state was not recorded")
        }
    }

    /// Links the chat as a person does: a link by the API, the chat's /start, a confirmation by the API.
    @discardableResult
    func link(_ chat: FakeTelegram.Chat? = nil, account: Account.ID? = nil) async throws -> AlertChannel {
        let account = account ?? self.account
        let chat = chat ?? self.chat
        let link = try await gateway.alerts.startTelegramLink(account: account, now: test.now)
        telegram.say("/start \(link.token)", in: chat)
        _ = await service.poll()
        guard let channel = try await gateway.alerts.confirmTelegramLink(link.id, account: account, now: test.now) else {
            throw TestFailure("the link could not be confirmed")
        }
        while try await service.deliver() > 0 {}
        return channel
    }

    /// An address that has said yes, by the link in its mail.
    @discardableResult
    func addEmail(_ address: String, account: Account.ID? = nil, _ fields: ChannelFields = ChannelFields()) async throws -> AlertChannel {
        let account = account ?? self.account
        guard let email = EmailAddress(address) else { throw TestFailure("no address") }
        let made = try await gateway.alerts.createEmail(account: account, address: email, fields, idempotencyKey: nil, now: test.now)
        guard let channel = made?.channel else { throw TestFailure("no channel") }
        while try await service.deliver() > 0 {}
        guard let text = resend.mails.last(where: { $0.to == [address] })?.text, let token = text.firstMatch(of: /token=([A-Za-z0-9_-]{43})/)?.1
        else {
            throw TestFailure("no verification came")
        }
        guard try await gateway.alerts.verifyEmail(token: String(token), now: test.now) != nil else { throw TestFailure("not verified") }
        while try await service.deliver() > 0 {}
        return channel
    }

    /// Another service on the same database, as after a restart.
    func restarted(probe: (@Sendable () async throws -> Void)? = nil) throws -> AlertingService {
        try Self.service(test, telegram, resend, probe: probe)
    }

    static func service(
        _ test: TestGateway, _ telegram: FakeTelegram, _ resend: FakeResend, node: String = "node-1", webhook: TelegramWebhook? = nil,
        probe: (@Sendable () async throws -> Void)? = nil
    ) throws -> AlertingService {
        let desk = TelegramDesk(bot: try bot(telegram))
        let clock = test.clock
        return AlertingService(
            gateway: test.gateway,
            AlertingService.Configuration(
                telegram: .init(desk: desk, webhook: webhook),
                resend: .init(client: try client(resend), pace: ResendPace(perSecond: 2), from: "Gateway <alerts@example.com>"),
                publicURL: "https://gateway.example", includesTest: true, node: node),
            now: { clock.now }, wait: { clock.advance(by: $0) }, probe: probe, logger: .silent)
    }

    static func http(_ url: String) throws -> (AlertEndpoint, HTTPClient) {
        let endpoint = try AlertEndpoint(url)
        var configuration = HTTPClient.Configuration(policy: endpoint.policy, userAgent: "gateway-test/1")
        configuration.connectDeadline = .seconds(600)
        return (endpoint, try HTTPClient(configuration))
    }

    static func bot(_ telegram: FakeTelegram, token: String? = nil) throws -> TelegramBot {
        guard let token = TelegramToken(token ?? telegram.token) else { throw TestFailure("no token") }
        let (endpoint, http) = try http(telegram.url)
        return TelegramBot(token: token, endpoint: endpoint, http: http, deadline: .seconds(600))
    }

    static func client(_ resend: FakeResend, key: String? = nil) throws -> ResendClient {
        guard let key = ResendKey(key ?? resend.key) else { throw TestFailure("no key") }
        let (endpoint, http) = try http(resend.url)
        return ResendClient(key: key, endpoint: endpoint, http: http, deadline: .seconds(600))
    }
}

func withAlerts<Result: Sendable>(_ body: (AlertRig) async throws -> Result) async throws -> Result {
    try await withTestGateway { test in
        try await withFakes(test.clock) { telegram, resend, _ in
            let ready = try await test.makeReadySender(label: "CS 1")
            return try await body(
                AlertRig(
                    test: test, telegram: telegram, resend: resend, service: try AlertRig.service(test, telegram, resend), account: ready.account,
                    sender: ready.owner))
        }
    }
}

/// Both fakes and no gateway, for the clients alone.
func withFakes<Result: Sendable>(
    _ clock: TestClock = TestClock(), _ body: (FakeTelegram, FakeResend, TestClock) async throws -> Result
) async throws -> Result {
    let telegram = try await FakeTelegram.start { clock.now }
    let resend = try await FakeResend.start { clock.now }
    do {
        let result = try await body(telegram, resend, clock)
        await telegram.stop()
        await resend.stop()
        return result
    } catch {
        await telegram.stop()
        await resend.stop()
        throw error
    }
}

/// A place in a list that moves on.
final class Mark: Sendable {
    private let place = Mutex(0)

    /// The place before; it is `next` now.
    func take(_ next: Int) -> Int {
        place.withLock { place in
            defer { place = next }
            return place
        }
    }
}
