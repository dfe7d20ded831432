package import Foundation
import Postgres
import Primitives
import Secrets

/// A verification that was used: whose, and for which channel.
package struct VerifiedEmail: Sendable {
    package let account: Account.ID
    package let channel: AlertChannel
}

extension Alerts {
    /// Channels of one account.
    package static let channelLimit = 20
    /// Between two verifications, or two tests, of a channel, in seconds.
    static let verificationInterval: TimeInterval = 60
    static let testInterval: TimeInterval = 10
    /// How long a verification's link can be used, in seconds (design.md §8).
    static let verificationLifetime: TimeInterval = 48 * 3_600

    /// Newest first, also those that are not confirmed yet.
    package func channels(_ account: Account.ID) async throws -> [AlertChannel] { try await channels(account, "true") }

    /// nil: there is none of that id in this account.
    package func channel(_ id: AlertChannel.ID, account: Account.ID) async throws -> AlertChannel? {
        try await channels(account, "c.channel_id = \(id)").first
    }

    /// Makes a channel for an e-mail address, and asks the address whether it wants this: nothing else goes there before.
    /// - Returns: nil: the channel that this idempotency key made is gone.
    /// - Throws: `InvalidChannel`; `ChannelRefusal.tooManyChannels`, `.channelExists`; `AcceptFailure` for the idempotency key.
    package func createEmail(
        account: Account.ID, address: EmailAddress, _ fields: ChannelFields = ChannelFields(), idempotencyKey: IdempotencyKey? = nil, now: Date
    ) async throws -> (channel: AlertChannel, replayed: Bool)? {
        let settings = try fields.applied(to: ChannelSettings(), of: .email)
        let sealer = try await keys.sealer(for: account)
        let id = AlertChannel.ID.make(at: now, random: random)
        let claim = idempotencyKey.map {
            IdempotencyClaim(
                $0, request: ["POST /v1/alerts/channels", address.text] + settings.parts, account: account, sealer: sealer)
        }
        let index = keys.ring.gateway.alertIndex("email:" + address.canonical)
        let token = newToken()
        let sealed = try sealer.seal(AlertCoding.encode(StoredAddress.email(address)), .channelAddress(id))
        let first = try await databases.api.transaction(Databases.accounts([account]) + [IdempotencyClaim.patience]) { transaction in
            if let earlier = try await claim?.take(for: id.uuid, in: transaction, now: now) { return AlertChannel.ID(earlier) }
            try await makeRoom(account, index, in: transaction)
            _ = try await transaction.commit(
                with: [
                    Self.insertion(id, account, .email, settings, address: sealed, index: index, now: now),
                    Statement(
                        "alerts.askEmail",
                        """
                        UPDATE alert_channels SET token_index = \(tokenIndex(token)), token_until = \(now.addingTimeInterval(Self.verificationLifetime)),
                            asked_at = \(now)
                        WHERE account_id = \(account) AND channel_id = \(id)
                        """),
                    try notice(.verification, to: id, account, secret: (token, sealer), now: now),
                ])
            return id
        }
        return try await channel(first, account: account).map { ($0, first != id) }
    }

    /// Changes what is told over a channel, and when. Its address stays: another one is another channel.
    /// - Throws: `InvalidChannel`.
    package func updateChannel(_ id: AlertChannel.ID, account: Account.ID, _ fields: ChannelFields, now: Date) async throws -> AlertChannel? {
        guard let before = try await channel(id, account: account) else { return nil }
        let settings = try fields.applied(to: before.settings, of: before.kind)
        let hours = ChannelHours(zone: settings.zone)
        let isMoved = settings.zone != before.settings.zone || settings.digestHour != before.settings.digestHour
        let isActive = before.activatedAt != nil
        let digest = isActive ? hours.nextDigest(settings, after: now) : nil
        let test = isActive ? hours.nextSelfTest(settings, after: now) : nil
        try await databases.api.execute(
            "alerts.updateChannel",
            """
            UPDATE alert_channels
            SET language = \(settings.language.rawValue), minimum_severity = \(settings.minimumSeverity.rawValue),
                kinds = \(settings.kinds?.map(\.rawValue) as [String]?), quiet_from = \(settings.quietHours.map { Int16($0.from) } as Int16?),
                quiet_to = \(settings.quietHours.map { Int16($0.to) } as Int16?), zone = \(settings.zone),
                digest_hour = \(settings.digestHour.map { Int16($0) } as Int16?), self_test = \(settings.selfTest),
                escalation_only = \(settings.isEscalationOnly), digest_at = CASE WHEN \(isMoved) THEN \(digest as Date?) ELSE digest_at END,
                self_test_at = CASE WHEN \(isMoved || settings.selfTest != before.settings.selfTest) THEN \(test as Date?) ELSE self_test_at END
            WHERE account_id = \(account) AND channel_id = \(id)
            """, settings: Databases.accounts([account]))
        return try await channel(id, account: account)
    }

    /// Nothing goes there until then, except what is asked for; nil: from now on it does. At most 30 days.
    package func mute(_ id: AlertChannel.ID, account: Account.ID, until: Date?, now: Date) async throws -> AlertChannel? {
        let until = until.map { min($0, now.addingTimeInterval(Self.longestSilence)) }
        try await databases.api.execute(
            "alerts.mute", "UPDATE alert_channels SET muted_until = \(until as Date?) WHERE account_id = \(account) AND channel_id = \(id)",
            settings: Databases.accounts([account]))
        return try await channel(id, account: account)
    }

    /// Removes a channel with its address, and everything that was to be sent there. False: there is none of that id.
    package func deleteChannel(_ id: AlertChannel.ID, account: Account.ID) async throws -> Bool {
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let gone = try await transaction.execute(
                "alerts.deleteChannel", "DELETE FROM alert_channels WHERE account_id = \(account) AND channel_id = \(id)")
            try await transaction.lastStatement(
                "alerts.deleteNotices", "DELETE FROM alert_notices WHERE account_id = \(account) AND channel_id = \(id)")
            return gone == 1
        }
    }

    package func unlink(_ id: AlertChannel.ID, account: Account.ID) async throws -> Bool { try await deleteChannel(id, account: account) }

    // MARK: Verification and test

    /// Asks an e-mail address once more, with a new token; the one before is worth nothing from now on. For those not confirmed and those blocked.
    /// False: there is no such channel, or it is well.
    /// - Throws: `ChannelRefusal.tooSoon` within a minute of the last one.
    package func sendVerification(_ id: AlertChannel.ID, account: Account.ID, now: Date) async throws -> Bool {
        let sealer = try await keys.sealer(for: account)
        let token = newToken()
        return try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let found = try await transaction.queryOne(
                "alerts.lockChannel",
                """
                SELECT kind, state, asked_at FROM alert_channels WHERE account_id = \(account) AND channel_id = \(id) FOR NO KEY UPDATE
                """
            ) {
                (
                    kind: try $0.state("kind") as AlertChannel.Kind, state: try $0.state("state") as AlertChannel.State,
                    askedAt: try $0.column("asked_at", as: Date.self)
                )
            }
            guard let found, found.kind == .email, found.state != .active else { return false }
            guard now.timeIntervalSince(found.askedAt) >= Self.verificationInterval else { throw ChannelRefusal.tooSoon }
            _ = try await transaction.commit(
                with: [
                    Statement(
                        "alerts.askAgain",
                        """
                        UPDATE alert_channels SET token_index = \(tokenIndex(token)), token_until = \(now.addingTimeInterval(Self.verificationLifetime)),
                            asked_at = \(now)
                        WHERE account_id = \(account) AND channel_id = \(id)
                        """),
                    Statement(
                        "alerts.supersede",
                        "DELETE FROM alert_notices WHERE account_id = \(account) AND channel_id = \(id) AND state = 'pending' AND occasion = 'verification'"
                    ),
                    try notice(.verification, to: id, account, secret: (token, sealer), now: now),
                ])
            return true
        }
    }

    /// Uses the token of a verification up: the channel is active from now on. nil: unknown, used, superseded, or too old.
    package func verifyEmail(token: String, now: Date) async throws -> VerifiedEmail? {
        guard Self.isToken(token) else { return nil }
        let index = tokenIndex(token)
        let found = try await databases.api.queryOne(
            "alerts.findVerification", "SELECT account_id, channel_id FROM gateway_find_verification(\(index), \(now))", access: .readOnly
        ) { (account: try $0.column("account_id", as: Account.ID.self), id: try $0.column("channel_id", as: AlertChannel.ID.self)) }
        guard let found, let before = try await channel(found.id, account: found.account) else { return nil }
        let hours = ChannelHours(zone: before.settings.zone)
        let used = try await databases.api.execute(
            "alerts.verify",
            """
            UPDATE alert_channels
            SET state = 'active', state_code = NULL, activated_at = coalesce(activated_at, \(now)), token_index = NULL, token_until = NULL,
                digest_at = \(hours.nextDigest(before.settings, after: now) as Date?), self_test_at = \(hours.nextSelfTest(before.settings, after: now) as Date?)
            WHERE account_id = \(found.account) AND channel_id = \(found.id) AND token_index = \(index) AND token_until > \(now)
            """, settings: Databases.accounts([found.account]))
        guard used == 1, let channel = try await channel(found.id, account: found.account) else { return nil }
        return VerifiedEmail(account: found.account, channel: channel)
    }

    /// Sends the channel something harmless now.
    /// - Returns: nil: there is none of that id.
    /// - Throws: `ChannelRefusal.channelNotActive`, `.tooSoon` within ten seconds of the last one.
    package func test(_ id: AlertChannel.ID, account: Account.ID, now: Date) async throws -> AlertNotice.ID? {
        let notice = AlertNotice.ID.make(at: now, random: random)
        return try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let found = try await transaction.queryOne(
                "alerts.lockForTest",
                "SELECT state, asked_at FROM alert_channels WHERE account_id = \(account) AND channel_id = \(id) FOR NO KEY UPDATE"
            ) { (state: try $0.state("state") as AlertChannel.State, askedAt: try $0.column("asked_at", as: Date.self)) }
            guard let found else { return nil }
            guard found.state == .active else { throw ChannelRefusal.channelNotActive }
            guard now.timeIntervalSince(found.askedAt) >= Self.testInterval else { throw ChannelRefusal.tooSoon }
            _ = try await transaction.commit(with: [
                Statement("alerts.tested", "UPDATE alert_channels SET asked_at = \(now) WHERE account_id = \(account) AND channel_id = \(id)"),
                try self.notice(.selfTest, to: id, account, id: notice, now: now),
            ])
            return notice
        }
    }

    // MARK: Parts

    /// 256 bits as 43 characters of base64url.
    func newToken() -> String { Base64URL.encode(random.bytes(32)) }

    static func isToken(_ text: String) -> Bool {
        text.utf8.count == 43
            && text.utf8.allSatisfy {
                switch $0 {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }

    func tokenIndex(_ token: String) -> [UInt8] { keys.ring.gateway.alertIndex("token:" + token) }
    func chatIndex(_ chat: Int64) -> [UInt8] { keys.ring.gateway.alertIndex("telegram:\(chat)") }

    /// One that makes a channel of an account at a time.
    /// - Throws: `ChannelRefusal.tooManyChannels`, `.channelExists`.
    func makeRoom(_ account: Account.ID, _ index: [UInt8], in transaction: Transaction) async throws {
        _ = try await transaction.query(
            "alerts.lockChannels", "SELECT account_id FROM accounts WHERE account_id = \(account) AND state = 'active' FOR NO KEY UPDATE",
            as: { _ in })
        let indexes = try await transaction.query(
            "alerts.channelIndexes", "SELECT address_index FROM alert_channels WHERE account_id = \(account)",
            as: { try $0.column("address_index", as: [UInt8].self) })
        if indexes.contains(index) { throw ChannelRefusal.channelExists }
        if indexes.count >= Self.channelLimit { throw ChannelRefusal.tooManyChannels }
    }

    static func insertion(
        _ id: AlertChannel.ID, _ account: Account.ID, _ kind: AlertChannel.Kind, _ settings: ChannelSettings, address: [UInt8], index: [UInt8],
        now: Date
    ) -> Statement {
        Statement(
            "alerts.createChannel",
            """
            INSERT INTO alert_channels (account_id, channel_id, kind, state, address_sealed, address_index, language, minimum_severity, kinds, quiet_from,
                quiet_to, zone, digest_hour, self_test, escalation_only, created_at)
            VALUES (\(account), \(id), \(kind.rawValue), 'unverified', \(address), \(index), \(settings.language.rawValue),
                \(settings.minimumSeverity.rawValue), \(settings.kinds?.map(\.rawValue) as [String]?),
                \(settings.quietHours.map { Int16($0.from) } as Int16?), \(settings.quietHours.map { Int16($0.to) } as Int16?), \(settings.zone),
                \(settings.digestHour.map { Int16($0) } as Int16?), \(settings.selfTest), \(settings.isEscalationOnly), \(now))
            """)
    }

    /// A notice without alerts, due at once.
    func notice(
        _ occasion: AlertNotice.Occasion, to channel: AlertChannel.ID, _ account: Account.ID, id: AlertNotice.ID? = nil,
        secret: (token: String, sealer: Sealer)? = nil, now: Date
    ) throws -> Statement {
        let id = id ?? AlertNotice.ID.make(at: now, random: random)
        let sealed = secret.map { $0.sealer.seal($0.token, .noticeSecret(id)) }
        return Statement(
            "alerts.notice",
            """
            INSERT INTO alert_notices (account_id, notice_id, channel_id, occasion, alert_ids, content, secret_sealed, due_at, created_at)
            VALUES (\(account), \(id), \(channel), \(occasion.rawValue), '{}', (\(try AlertCoding.encode(NoticeContent(madeAt: now))))::jsonb,
                \(sealed as [UInt8]?), \(now), \(now))
            """)
    }

    func channels(_ account: Account.ID, _ condition: SQL) async throws -> [AlertChannel] {
        let sealer = try await keys.sealer(for: account)
        return try await databases.api.query(
            "alerts.channels",
            "SELECT \(AlertChannel.columns) FROM alert_channels c WHERE c.account_id = \(account) AND \(condition) ORDER BY c.channel_id DESC",
            settings: Databases.accounts([account]), access: .readOnly
        ) { try ChannelRow(row: $0).channel(sealer) }
    }
}

extension ChannelSettings {
    /// For the fingerprint of an idempotency key.
    fileprivate var parts: [String] {
        [
            language.rawValue, minimumSeverity.rawValue, kinds?.map(\.rawValue).joined(separator: ",") ?? "*",
            quietHours.map { "\($0.from)-\($0.to)" } ?? "", zone, digestHour.map(String.init) ?? "", "\(selfTest)", "\(isEscalationOnly)",
        ]
    }
}
