package import Foundation
import Postgres
import Secrets

/// Telegram chats: linking them, and what is said in them.
extension Alerts {
    // MARK: Links

    /// Begins a link. Its token is in nobody's hands but the caller's: only its keyed hash is kept, for an hour.
    /// - Throws: `ChannelRefusal.tooManyLinks` when five are live.
    package func startTelegramLink(account: Account.ID, now: Date) async throws -> StartedTelegramLink {
        let id = TelegramLink.ID.make(at: now, random: random)
        let token = newToken()
        let expiresAt = now.addingTimeInterval(TelegramLink.lifetime)
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let isOpen = try await transaction.query(
                "alerts.lockLinks", "SELECT account_id FROM accounts WHERE account_id = \(account) AND state = 'active' FOR NO KEY UPDATE",
                as: { _ in true })
            guard !isOpen.isEmpty else { throw AccountGone(account: account) }
            let live = try await transaction.queryOne(
                "alerts.countLinks",
                """
                SELECT (SELECT count(*) FROM telegram_links t WHERE t.account_id = \(account) AND t.expires_at > \(now))
                    + (SELECT count(*) FROM alert_channels c WHERE c.account_id = \(account) AND c.state = 'unverified' AND c.confirm_until > \(now)) AS live
                """, as: { try $0.column("live", as: Int.self) })
            guard (live ?? 0) < TelegramLink.limit else { throw ChannelRefusal.tooManyLinks }
            try await transaction.lastStatement(
                "alerts.startLink",
                """
                INSERT INTO telegram_links (account_id, link_id, token_index, expires_at)
                VALUES (\(account), \(id), \(tokenIndex(token)), \(expiresAt))
                """)
        }
        return StartedTelegramLink(id: id, token: token, expiresAt: expiresAt)
    }

    /// How far a link is; nil: there is none of that id in this account, or it is too old.
    package func telegramLink(_ id: TelegramLink.ID, account: Account.ID, now: Date) async throws -> TelegramLink? {
        let expiresAt = try await databases.api.queryOne(
            "alerts.link",
            """
            SELECT t.expires_at FROM telegram_links t WHERE t.account_id = \(account) AND t.link_id = \(id) AND t.expires_at > \(now)
            """, settings: Databases.accounts([account]), access: .readOnly, as: { try $0.column("expires_at", as: Date.self) })
        if let expiresAt { return TelegramLink(id: id, account: account, state: .waiting, expiresAt: expiresAt) }
        let until = UUIDv7.time(of: id.uuid).addingTimeInterval(2 * TelegramLink.lifetime)
        guard let channel = try await channels(account, "c.link_id = \(id) AND (c.state <> 'unverified' OR c.confirm_until > \(now))").first else {
            return nil
        }
        return TelegramLink(id: id, account: account, state: channel.state == .active ? .confirmed(channel) : .linked(channel), expiresAt: until)
    }

    /// A chat has sent a link's token, which is used up by that. The chat gets nothing yet: somebody who sees through the API which chat it is must
    /// confirm it within an hour.
    /// - Returns: nil: the token is unknown, used, or too old, or the account has as many channels as it may.
    package func takeTelegramLink(
        token: String, chat: TelegramChat, language: AlertChannel.Language? = nil, now: Date
    ) async throws -> TakenTelegramLink? {
        guard Self.isToken(token) else { return nil }
        let found = try await databases.api.queryOne(
            "alerts.findLink", "SELECT account_id, link_id FROM gateway_find_telegram_link(\(tokenIndex(token)), \(now))", access: .readOnly
        ) { (account: try $0.column("account_id", as: Account.ID.self), link: try $0.column("link_id", as: TelegramLink.ID.self)) }
        guard let found else { return nil }
        let account = found.account
        let sealer = try await keys.sealer(for: account)
        let index = chatIndex(chat.id)
        let until = now.addingTimeInterval(TelegramLink.lifetime)
        let isTaken: Bool
        do {
            isTaken = try await databases.api.transaction(Databases.accounts([account])) { transaction in
                // Once; and together with the channel, so that the link is never neither waiting nor linked.
                let taken = try await transaction.execute(
                    "alerts.takeLink",
                    "DELETE FROM telegram_links WHERE account_id = \(account) AND link_id = \(found.link) AND expires_at > \(now)")
                guard taken == 1 else { return false }
                let known = try await transaction.queryOne(
                    "alerts.knownChat", "SELECT channel_id FROM alert_channels WHERE account_id = \(account) AND address_index = \(index) FOR UPDATE",
                    as: { try $0.column("channel_id", as: AlertChannel.ID.self) })
                if let known {
                    // As the chat is called today. An active one stays active; a blocked one waits for its confirmation anew.
                    let sealed = try sealer.seal(AlertCoding.encode(StoredAddress.telegram(chat)), .channelAddress(known))
                    _ = try await transaction.lastStatement(
                        "alerts.relink",
                        """
                        UPDATE alert_channels
                        SET address_sealed = \(sealed), link_id = \(found.link), confirm_until = CASE WHEN state = 'active' THEN NULL ELSE \(until) END,
                            state_code = NULL, state = CASE WHEN state = 'active' THEN state ELSE 'unverified' END
                        WHERE account_id = \(account) AND channel_id = \(known)
                        """)
                } else {
                    try await makeRoom(account, index, in: transaction)
                    let id = AlertChannel.ID.make(at: now, random: random)
                    let sealed = try sealer.seal(AlertCoding.encode(StoredAddress.telegram(chat)), .channelAddress(id))
                    _ = try await transaction.commit(with: [
                        Self.insertion(
                            id, account, .telegram, ChannelSettings(language: language ?? .english), address: sealed, index: index, now: now),
                        Statement(
                            "alerts.linkTaken",
                            """
                            UPDATE alert_channels SET link_id = \(found.link), confirm_until = \(until)
                            WHERE account_id = \(account) AND channel_id = \(id)
                            """),
                    ])
                }
                return true
            }
        } catch is ChannelRefusal { return nil }
        guard isTaken else { return nil }
        guard let channel = try await channels(account, "c.address_index = \(index)").first else { return nil }
        let name = try await databases.api.queryOne(
            "alerts.accountName", "SELECT name_sealed FROM accounts WHERE account_id = \(account)", settings: Databases.accounts([account]),
            access: .readOnly, as: { try $0.column("name_sealed", as: [UInt8].self) })
        return TakenTelegramLink(
            account: account, accountName: try name.map { try sealer.openText($0, .accountName(account)) } ?? "", channel: channel,
            isAlreadyActive: channel.state == .active)
    }

    /// The chat that has used the link's token gets alerts from now on, and is told so. Twice is the same as once.
    /// - Returns: nil: there is no such link, or it is too old.
    /// - Throws: `ChannelRefusal.linkNotTaken` while no chat has used it.
    package func confirmTelegramLink(_ id: TelegramLink.ID, account: Account.ID, now: Date) async throws -> AlertChannel? {
        guard let link = try await telegramLink(id, account: account, now: now) else { return nil }
        let linked: AlertChannel
        switch link.state {
        case .waiting: throw ChannelRefusal.linkNotTaken
        case .confirmed(let channel): return channel
        case .linked(let channel): linked = channel
        }
        let hours = ChannelHours(zone: linked.settings.zone)
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let confirmed = try await transaction.execute(
                "alerts.confirmLink",
                """
                UPDATE alert_channels
                SET state = 'active', state_code = NULL, activated_at = \(now), confirm_until = NULL, muted_until = NULL,
                    digest_at = \(hours.nextDigest(linked.settings, after: now) as Date?),
                    self_test_at = \(hours.nextSelfTest(linked.settings, after: now) as Date?)
                WHERE account_id = \(account) AND channel_id = \(linked.id) AND link_id = \(id) AND state = 'unverified' AND confirm_until > \(now)
                """)
            guard confirmed == 1 else { return }
            _ = try await transaction.commit(with: [try notice(.linked, to: linked.id, account, now: now)])
        }
        return try await channel(linked.id, account: account)
    }

    /// Ends a link that is not confirmed. False: there is none of that id.
    package func cancelTelegramLink(_ id: TelegramLink.ID, account: Account.ID) async throws -> Bool {
        try await databases.api.transaction(Databases.accounts([account])) { transaction in
            let results = try await transaction.commit(with: [
                Statement("alerts.cancelLink", "DELETE FROM telegram_links WHERE account_id = \(account) AND link_id = \(id)"),
                Statement(
                    "alerts.cancelChat", "DELETE FROM alert_channels WHERE account_id = \(account) AND link_id = \(id) AND state = 'unverified'"),
            ])
            return results.contains { $0.affected > 0 }
        }
    }

    // MARK: Chats

    /// Whose alerts a chat gets: one chat may serve several accounts. Those not confirmed, or blocked, are not among them.
    package func links(of chat: Int64) async throws -> [ChatLink] {
        try await databases.api.query(
            "alerts.chat", "SELECT account_id, channel_id, language FROM gateway_find_channels(\(chatIndex(chat))) WHERE state = 'active'",
            access: .readOnly
        ) { ChatLink(account: try $0["account_id"], channel: try $0["channel_id"], language: try $0.state("language")) }
    }

    /// What somebody has pressed under a notice; a notice of another chat does nothing.
    /// - Returns: the alerts that it was about; nil: no such notice was sent to this chat.
    package func act(_ action: NoticeAction, on notice: AlertNotice.ID, chat: Int64, now: Date) async throws -> [Alert.ID]? {
        for link in try await links(of: chat) {
            let alerts = try await databases.api.queryOne(
                "alerts.noticeOfChat",
                """
                SELECT alert_ids FROM alert_notices WHERE account_id = \(link.account) AND notice_id = \(notice) AND channel_id = \(link.channel)
                """, settings: Databases.accounts([link.account]), access: .readOnly, as: { try $0.column("alert_ids", as: [Alert.ID].self) })
            guard let alerts else { continue }
            let change: SQL =
                switch action {
                case .acknowledge: "acknowledged_at = \(now), acknowledged_channel = \(link.channel)"
                case .silence(let seconds): "silenced_until = \(now.addingTimeInterval(min(max(seconds, 0), Self.longestSilence)))"
                }
            let still: SQL = action == .acknowledge ? "acknowledged_at IS NULL" : "true"
            try await databases.api.execute(
                "alerts.act",
                """
                UPDATE alerts SET \(change) WHERE account_id = \(link.account) AND alert_id = ANY (\(alerts)) AND cleared_at IS NULL AND \(still)
                """, settings: Databases.accounts([link.account]))
            return alerts
        }
        return nil
    }

    /// The bot was blocked or removed there: what waits for the chat is dead, and other channels are told.
    package func chatBlocked(_ chat: Int64, code: String, now: Date) async throws {
        for link in try await links(of: chat) {
            try await databases.api.transaction(Databases.accounts([link.account])) { transaction in
                _ = try await transaction.commit(with: Self.blocking(link.channel, link.account, code: code, now: now))
            }
        }
    }

    /// A group has become a supergroup: its channels follow.
    package func chatMigrated(from old: Int64, to new: Int64) async throws {
        for link in try await links(of: old) {
            try await databases.api.transaction(Databases.accounts([link.account])) { transaction in
                try await migrate(link.channel, link.account, to: new, in: transaction)
            }
        }
    }

    // MARK: Parts

    /// Statements that leave a channel for dead. One that was never confirmed has only its own notices to lose.
    static func blocking(_ channel: AlertChannel.ID, _ account: Account.ID, code: String, now: Date) -> [Statement] {
        let code = safe(code)
        return [
            Statement(
                "alerts.block",
                """
                UPDATE alert_channels SET state = CASE WHEN state = 'active' THEN 'blocked' ELSE state END, state_code = \(code)
                WHERE account_id = \(account) AND channel_id = \(channel)
                """),
            Statement(
                "alerts.blockNotices",
                """
                UPDATE alert_notices SET state = 'dead', finished_at = \(now), claimed = false, code = \(code), secret_sealed = NULL
                WHERE account_id = \(account) AND channel_id = \(channel) AND state = 'pending'
                """),
        ]
    }

    /// A code of ours, or `other` for what is none.
    static func safe(_ code: String) -> String {
        let isCode =
            (1...64).contains(code.utf8.count) && code.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
        return isCode ? code : "other"
    }

    /// Gives a channel its chat's new id. Where the account has the new chat already, the old channel goes.
    func migrate(_ id: AlertChannel.ID, _ account: Account.ID, to chat: Int64, in transaction: Transaction) async throws {
        let sealer = try await keys.sealer(for: account)
        let rows = try await transaction.query(
            "alerts.lockMigrating",
            """
            SELECT \(AlertChannel.columns) FROM alert_channels c
            WHERE c.account_id = \(account) AND (c.channel_id = \(id) OR c.address_index = \(chatIndex(chat)))
            ORDER BY c.channel_id FOR NO KEY UPDATE
            """, as: ChannelRow.init(row:))
        guard let row = rows.first(where: { $0.id == id }), case .telegram(let old) = try row.channel(sealer).address else { return }
        if rows.contains(where: { $0.id != id }) {
            _ = try await transaction.pipeline([
                Statement("alerts.merge", "DELETE FROM alert_channels WHERE account_id = \(account) AND channel_id = \(id)"),
                Statement("alerts.mergeNotices", "DELETE FROM alert_notices WHERE account_id = \(account) AND channel_id = \(id)"),
            ])
            return
        }
        let moved = TelegramChat(id: chat, kind: .supergroup, title: old.title)
        _ = try await transaction.execute(
            "alerts.migrate",
            """
            UPDATE alert_channels
            SET address_sealed = \(sealer.seal(AlertCoding.encode(StoredAddress.telegram(moved)), .channelAddress(id))), address_index = \(chatIndex(chat))
            WHERE account_id = \(account) AND channel_id = \(id)
            """)
    }

    // MARK: The poller

    /// Takes or keeps the right to ask Telegram for this bot's updates, for `ttl` seconds by the database's clock.
    /// - Returns: the offset to ask from; nil: another node has it.
    package func holdPoller(bot: Int64, node: String, ttl: TimeInterval) async throws -> Int64? {
        try await databases.engine.queryOne(
            "alerts.holdPoller",
            """
            INSERT INTO telegram_pollers AS known (bot_id, holder, expires_at)
            VALUES (\(bot), \(node), clock_timestamp() + make_interval(secs => \(ttl)))
            ON CONFLICT (bot_id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
            WHERE known.holder = excluded.holder OR known.holder IS NULL OR known.expires_at < clock_timestamp()
            RETURNING next_update
            """, as: { try $0.column("next_update", as: Int64.self) })
    }

    package func releasePoller(bot: Int64, node: String) async throws {
        try await databases.engine.execute(
            "alerts.releasePoller",
            "UPDATE telegram_pollers SET holder = NULL, expires_at = '-infinity' WHERE bot_id = \(bot) AND holder = \(node)")
    }

    /// Whether an update is new. From now on it is not, whoever asks; and it is not asked for again.
    package func isFirst(update: Int64, bot: Int64, now: Date) async throws -> Bool {
        try await databases.engine.transaction { transaction in
            let results = try await transaction.commit(with: [
                Statement(
                    "alerts.seeUpdate",
                    "INSERT INTO telegram_updates (bot_id, update_id, seen_at) VALUES (\(bot), \(update), \(now)) ON CONFLICT DO NOTHING"),
                Statement(
                    "alerts.passUpdate",
                    """
                    INSERT INTO telegram_pollers AS known (bot_id, expires_at, next_update) VALUES (\(bot), '-infinity', \(update) + 1)
                    ON CONFLICT (bot_id) DO UPDATE SET next_update = greatest(known.next_update, excluded.next_update)
                    """),
            ])
            return results[0].affected == 1
        }
    }
}
