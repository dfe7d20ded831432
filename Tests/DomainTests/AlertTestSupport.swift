@testable import Domain
import Foundation
import Postgres
import Primitives
import Synchronization
import TestSupport
import Testing

/// What an alert's scenario begins with: an account with a live sender and a Telegram chat that gets everything.
struct AlertStage: Sendable {
    let account: Account.ID
    let sender: Sender.ID
    let channel: AlertChannel.ID
}

extension TestGateway {
    static let chat: Int64 = 700_000_001

    func makeAlertStage(chat: Int64 = TestGateway.chat, name: String = "Toko") async throws -> AlertStage {
        let account = try await gateway.accounts.create(name: name, now: now).id
        let sender = try await makeLiveSender(account)
        let channel = try await linkChat(account, chat: chat)
        return AlertStage(account: account, sender: sender, channel: channel)
    }

    /// A paired sender that a node holds for ever.
    func makeLiveSender(_ account: Account.ID, label: String = "CS 1", isTest: Bool = false) async throws -> Sender.ID {
        let sender = try await gateway.senders.create(account: account, label: label, test: isTest, now: now).id
        _ = try await owner.execute(
            "test.ready",
            "UPDATE senders SET state = 'ready', state_since = \(now), paired_at = \(now.addingTimeInterval(-90 * 86_400)) WHERE sender_id = \(sender)"
        )
        _ = try await owner.execute(
            "test.hold", "UPDATE sender_leases SET holder = 'node-1', expires_at = 'infinity', epoch = 1 WHERE sender_id = \(sender)")
        return sender
    }

    func setState(_ sender: Sender.ID, _ state: SenderState, code: String? = nil) async throws {
        _ = try await owner.execute(
            "test.state",
            """
            UPDATE senders SET state = \(state.rawValue), state_code = \(code as String?), state_since = \(now),
                removed_at = CASE WHEN \(state == .removed) THEN \(now) END
            WHERE sender_id = \(sender)
            """)
    }

    /// A chat that has used a link, and was confirmed.
    @discardableResult
    func linkChat(_ account: Account.ID, chat: Int64, title: String = "Budi") async throws -> AlertChannel.ID {
        let link = try await gateway.alerts.startTelegramLink(account: account, now: now)
        _ = try await gateway.alerts.takeTelegramLink(
            token: link.token, chat: TelegramChat(id: chat, kind: .private, title: title), now: now)
        guard let channel = try await gateway.alerts.confirmTelegramLink(link.id, account: account, now: now) else {
            throw TestFailure("the link could not be confirmed")
        }
        try await quietDaily(channel.id)
        return channel.id
    }

    /// An address that was verified.
    @discardableResult
    func linkEmail(_ account: Account.ID, _ address: String, _ fields: ChannelFields = ChannelFields()) async throws -> AlertChannel.ID {
        let mail = try EmailAddress.of(address)
        let made = try #require(try await gateway.alerts.createEmail(account: account, address: mail, fields, now: now))
        let asked = try await claimNotices().first { $0.channel.id == made.channel.id && $0.occasion == .verification }
        let token = try #require(asked?.secret)
        #expect(try await gateway.alerts.verifyEmail(token: token, now: now)?.channel.state == .active)
        try await quietDaily(made.channel.id)
        return made.channel.id
    }

    /// No digest and no self-test, unless the test is about them.
    private func quietDaily(_ channel: AlertChannel.ID) async throws {
        _ = try await owner.execute(
            "test.quiet", "UPDATE alert_channels SET digest_at = NULL, self_test_at = NULL WHERE channel_id = \(channel)")
    }

    /// One step, by a process that has just started.
    @discardableResult
    func step(after seconds: TimeInterval = 0, operator account: Account.ID? = nil, includesTest: Bool = false) async throws -> Watched {
        clock.advance(by: seconds)
        let restarted = Gateway(databases: gateway.databases, keyRing: keyRing, logger: .silent, now: { [clock] in clock.now })
        return try await restarted.alerts.watch(operator: account, includesTest: includesTest, now: now)
    }

    func steps(_ count: Int, every seconds: TimeInterval, operator account: Account.ID? = nil) async throws {
        for _ in 0..<count { try await step(after: seconds, operator: account) }
    }

    func claimNotices(limit: Int = 1_000) async throws -> [ClaimedNotice] {
        try await gateway.alerts.claimNotices(limit: limit, now: now, deadline: now.addingTimeInterval(60))
    }

    /// Claims what is due and sends all of it; returns it without verifications and greetings.
    @discardableResult
    func deliverNotices() async throws -> [ClaimedNotice] {
        let claimed = try await claimNotices()
        for notice in claimed { try await gateway.alerts.record(NoticeReport(notice, .sent(telegramMessage: 1), at: now)) }
        return claimed.filter { $0.occasion != .verification && $0.occasion != .linked }
    }

    func alerts(_ account: Account.ID, _ kind: AlertKind? = nil) async throws -> [Alert] {
        try await gateway.alerts.history(
            account: account, AlertFilter(kinds: kind.map { [$0] }), page: PageRequest(limit: 200), now: now
        ).data
    }

    /// Messages of the account with these events each, as the engine writes them: through the trigger that counts.
    func tell(_ account: Account.ID, count: Int, _ kinds: [String], isTest: Bool = false, sentAt: Date? = nil) async throws -> [UUID] {
        let ids = (0..<count).map { _ in UUIDv7.make(at: now, random: SystemRandom()) }
        let sent = kinds.contains("sent") ? now : sentAt
        _ = try await owner.execute(
            "test.messages",
            """
            INSERT INTO messages (account_id, message_id, state, test, sender_id, policy, route_reason, priority, recipient_sealed, recipient_index,
                send_nonce, wire_id, created_at, expires_at, sent_at)
            SELECT \(account), id, 'accepted', \(isTest), gen_random_uuid(), 'sticky', 'test', 1, '\\x00', substring(uuid_send(id) FROM 1 FOR 16),
                uuid_send(id), id::text, \(now), \(now.addingTimeInterval(86_400)), \(sent as Date?)
            FROM unnest(\(ids)) AS id
            """)
        for (number, kind) in kinds.enumerated() { try await tell(account, ids, kind, number: number + 2) }
        return ids
    }

    func tell(_ account: Account.ID, _ ids: [UUID], _ kind: String, number: Int) async throws {
        _ = try await owner.execute(
            "test.events",
            """
            INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
            SELECT \(account), id, \(Int16(number)), gen_random_uuid(), \(kind), \(now) FROM unnest(\(ids)) AS id
            """)
    }
}

/// A value that a test sets in one place and reads in another.
final class TestBox<Value: Sendable>: Sendable {
    private let stored: Mutex<Value>
    init(_ value: Value) { stored = Mutex(value) }
    var value: Value { stored.withLock { $0 } }
    func set(_ value: Value) { stored.withLock { $0 = value } }
}

extension EmailAddress {
    /// One that is right.
    static func of(_ text: String) throws -> EmailAddress {
        guard let address = EmailAddress(text) else { throw TestFailure("that is no address") }
        return address
    }
}
