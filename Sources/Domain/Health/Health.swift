package import Foundation
import Postgres

/// Records how a sender fares. Every verb is fenced by the lease's epoch: once that is over it changes nothing.
package struct Health: Sendable {
    let database: Database

    /// What was learned about a sender.
    package enum Finding: Sendable, Equatable {
        /// The server said that it sends too fast: everything pauses, 30 s the first time, twice as long each further time, an hour at most.
        /// One level is forgotten per 10 quiet minutes. During a pause another finding changes nothing: it comes from the same burst.
        case rateLimited
        /// The server refused a new chat: none is begun until then; nil: 24 h, twice as long each further time, 7 days at most. One level is
        /// forgotten per quiet week.
        case newChatRefused(until: Date?)
        /// WhatsApp has banned the number until then.
        case banned(until: Date)
        /// Its messages are acknowledged and do not arrive: others go first until then.
        case receiptsMissing(until: Date)
        /// They arrive after all.
        case receiptsBack
    }

    /// False: the epoch is over, nothing was changed.
    package func record(_ finding: Finding, of owner: OwnedSender, now: Date) async throws -> Bool {
        try await database.query(
            "health.record", Self.sql(finding, owner, now), settings: Databases.accounts([owner.account]),
            as: { try $0.column("held", as: Bool.self) }
        ).first ?? false
    }

    /// For a transaction that records the outcome it was learned from.
    static func statement(_ finding: Finding, of owner: OwnedSender, now: Date) -> Statement {
        Statement("health.record", sql(finding, owner, now))
    }

    private static func sql(_ finding: Finding, _ owner: OwnedSender, _ now: Date) -> SQL {
        """
        WITH held AS MATERIALIZED (
            SELECT account_id, sender_id FROM sender_leases
            WHERE account_id = \(owner.account) AND sender_id = \(owner.sender) AND epoch = \(owner.epoch)
            FOR SHARE
        ),
        changed AS (
            INSERT INTO sender_health AS h (\(change(finding, now)), changed_at = \(now)
            \(guardOf(finding, now))
        )
        SELECT true AS held FROM held
        """
    }

    /// The columns and values of a first finding, and what a further one does, up to its list of assignments.
    private static func change(_ finding: Finding, _ now: Date) -> SQL {
        switch finding {
        case .rateLimited:
            """
            account_id, sender_id, paused_until, pause_code, pause_level, changed_at)
            SELECT account_id, sender_id, \(now) + interval '30 seconds', 'rate_limited', 1, \(now) FROM held
            ON CONFLICT (account_id, sender_id) DO UPDATE
            SET paused_until = \(now) + least(interval '1 hour', interval '30 seconds'
                    * 2 ^ gateway_quiet_level(h.pause_level, h.paused_until, interval '10 minutes', \(now))),
                pause_code = excluded.pause_code,
                pause_level = 1 + least(7, gateway_quiet_level(h.pause_level, h.paused_until, interval '10 minutes', \(now)))
            """
        case .newChatRefused(let until):
            """
            account_id, sender_id, new_chats_until, new_chats_code, new_chats_level, changed_at)
            SELECT account_id, sender_id, coalesce(\(until as Date?), \(now) + interval '1 day'), 'new_chat_limit', 1, \(now) FROM held
            ON CONFLICT (account_id, sender_id) DO UPDATE
            SET new_chats_until = coalesce(\(until as Date?), \(now) + least(interval '7 days', interval '1 day'
                    * 2 ^ gateway_quiet_level(h.new_chats_level, h.new_chats_until, interval '7 days', \(now)))),
                new_chats_code = excluded.new_chats_code,
                new_chats_level = 1 + least(3, gateway_quiet_level(h.new_chats_level, h.new_chats_until, interval '7 days', \(now)))
            """
        case .banned(let until):
            """
            account_id, sender_id, paused_until, pause_code, changed_at)
            SELECT account_id, sender_id, \(until), 'temporarily_banned', \(now) FROM held
            ON CONFLICT (account_id, sender_id) DO UPDATE
            SET paused_until = excluded.paused_until, pause_code = excluded.pause_code
            """
        case .receiptsMissing(let until): demotion(until, now)
        case .receiptsBack: demotion(now, now)
        }
    }

    private static func demotion(_ until: Date, _ now: Date) -> SQL {
        """
        account_id, sender_id, demoted_until, changed_at)
        SELECT account_id, sender_id, \(until), \(now) FROM held
        ON CONFLICT (account_id, sender_id) DO UPDATE
        SET demoted_until = excluded.demoted_until
        """
    }

    /// When a further finding counts.
    private static func guardOf(_ finding: Finding, _ now: Date) -> SQL {
        switch finding {
        case .rateLimited: "WHERE h.paused_until <= \(now)"
        case .newChatRefused: "WHERE h.new_chats_until <= \(now)"
        case .banned(let until): "WHERE h.paused_until < \(until)"
        // Neither a demotion nor its end twice within a minute.
        case .receiptsMissing: "WHERE h.demoted_until <= \(now) - interval '1 minute'"
        case .receiptsBack: "WHERE h.demoted_until > \(now)"
        }
    }
}
