import Foundation
import Postgres
import Secrets

extension RoutingSnapshot {
    /// What the last read has worked out already: labels and limits change rarely.
    struct Remembered: Sendable {
        var labels: [[UInt8]: String] = [:]
        var limits: [StoredLimits: EffectiveLimits] = [:]
        /// How many messages per sender are counted; fewer for accounts with very many senders.
        var depth = Int32(1000)
    }

    struct StoredLimits: Hashable, Sendable {
        let text: String
        let subject: SendingLimits.Subject
    }

    /// Messages that one snapshot counts at most, over all senders.
    private static let countLimit = 50_000

    /// Reads senders, pools and counters in one transaction, as they are at `takenAt`.
    static func read(
        _ account: Account.ID, by database: Database, _ keys: AccountKeys, _ remembered: Remembered, isPaced: Bool, takenAt: Date
    ) async throws -> (RoutingSnapshot, Remembered) {
        let sealer = try await keys.sealer(for: account)
        return try await database.transaction(Databases.walks([account]), access: .readOnly) { transaction in
            let results = try await transaction.commit(with: [
                senders(account, depth: remembered.depth, isPaced: isPaced), pools(account), members(account), refusals(account),
            ])
            var learned = Remembered()
            var labels: [Sender.ID: String] = [:]
            let candidates = try results[0].rows { row in
                let sealed = try row.column("label_sealed", as: [UInt8].self)
                let candidate = try candidate(row, remembered, &learned, takenAt)
                let label = try remembered.labels[sealed] ?? sealer.openText(sealed, .senderLabel(candidate.sender))
                learned.labels[sealed] = label
                labels[candidate.sender] = label
                return candidate
            }
            var members: [Pool.ID: [Member]] = [:]
            for (pool, member) in try results[2].rows(as: member) { members[pool, default: []].append(member) }
            let pools = try results[1].rows { row in
                let id = try row.column("pool_id", as: Pool.ID.self)
                return PoolMembers(
                    id: id, policy: try row.state("policy"), members: members[id] ?? [], isDefault: try row["is_default"],
                    limits: try limits(row, .pool, remembered, &learned), usage: try SendingUsage(row))
            }
            learned.depth = Int32(min(1000, max(50, Self.countLimit / max(1, candidates.count))))
            let hasRefusals = try results[3].rows { try $0.column("found", as: Bool.self) }.first ?? true
            let snapshot = RoutingSnapshot(candidates: candidates, labels: labels, pools: pools, takenAt: takenAt, hasRefusals: hasRefusals)
            return (snapshot, learned)
        }
    }

    private static func senders(_ account: Account.ID, depth: Int32, isPaced: Bool) -> Statement {
        Statement(
            "routing.senders",
            """
            SELECT s.sender_id, s.label_sealed, s.test, (NOT s.test AND \(isPaced)) AS paced, s.state, s.state_since, s.paired_at, s.limits,
                (l.holder IS NOT NULL AND l.expires_at > clock_timestamp()) AS owned, h.paused_until, h.new_chats_until, h.demoted_until,
                \(SendingUsage.columns("u")), waiting.messages AS waiting, flying.messages AS flying
            FROM senders s
            LEFT JOIN sender_leases l ON l.account_id = s.account_id AND l.sender_id = s.sender_id
            LEFT JOIN sender_usage u ON u.account_id = s.account_id AND u.sender_id = s.sender_id
            LEFT JOIN sender_health h ON h.account_id = s.account_id AND h.sender_id = s.sender_id
            CROSS JOIN LATERAL (
                SELECT count(*) AS messages
                FROM (SELECT 1 FROM outbox o
                    WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state = 'accepted'
                    ORDER BY o.priority
                    LIMIT \(depth)) AS found
            ) AS waiting
            CROSS JOIN LATERAL (
                SELECT count(*) AS messages
                FROM (SELECT 1 FROM outbox o
                    WHERE o.account_id = s.account_id AND o.sender_id = s.sender_id AND o.state IN ('prepared', 'on_wire')
                    ORDER BY o.deadline
                    LIMIT \(depth)) AS found
            ) AS flying
            WHERE s.account_id = \(account) AND s.state <> 'removed'
            ORDER BY s.sender_id
            """)
    }

    private static func pools(_ account: Account.ID) -> Statement {
        Statement(
            "routing.pools",
            """
            SELECT p.pool_id, p.policy, p.is_default, p.limits, \(SendingUsage.columns("u"))
            FROM pools p
            LEFT JOIN pool_usage u ON u.account_id = p.account_id AND u.pool_id = p.pool_id
            WHERE p.account_id = \(account)
            ORDER BY p.pool_id
            """)
    }

    private static func members(_ account: Account.ID) -> Statement {
        Statement(
            "routing.members",
            """
            SELECT m.pool_id, m.sender_id, m.weight, m.prefixes
            FROM pool_members m
            WHERE m.account_id = \(account)
            ORDER BY m.pool_id, m.place, m.sender_id
            """)
    }

    private static func refusals(_ account: Account.ID) -> Statement {
        Statement(
            "routing.refusals",
            "SELECT EXISTS (SELECT 1 FROM sender_recipients r WHERE r.account_id = \(account) AND r.refused_at IS NOT NULL) AS found")
    }

    private static func candidate(_ row: RowReader, _ remembered: Remembered, _ learned: inout Remembered, _ takenAt: Date) throws -> Candidate {
        let isTest = try row.column("test", as: Bool.self)
        let waiting = try row.column("waiting", as: Int.self)
        let flying = try row.column("flying", as: Int.self)
        var usage = try SendingUsage(row)
        // Promised is as good as sent. What is on the wire was counted when it was put there.
        usage.add(waiting, at: takenAt)
        return Candidate(
            sender: try row["sender_id"], isTest: isTest, state: try row.state("state"), stateSince: try row["state_since"],
            isOwned: try row["owned"], pairedAt: try row["paired_at"],
            limits: try limits(row, row.column("paced", as: Bool.self) ? .liveSender : .testSender, remembered, &learned), usage: usage,
            health: SenderHealth(
                pausedUntil: try row.column("paused_until", as: Date?.self) ?? .distantPast,
                newChatsUntil: try row.column("new_chats_until", as: Date?.self) ?? .distantPast,
                demotedUntil: try row.column("demoted_until", as: Date?.self) ?? .distantPast),
            queued: waiting + flying)
    }

    private static func member(_ row: RowReader) throws -> (Pool.ID, Member) {
        (try row["pool_id"], Member(try row["sender_id"], weight: try row["weight"], prefixes: try row["prefixes"]))
    }

    private static func limits(
        _ row: RowReader, _ subject: SendingLimits.Subject, _ remembered: Remembered, _ learned: inout Remembered
    ) throws -> EffectiveLimits {
        let stored = StoredLimits(text: try row["limits"], subject: subject)
        let limits = try remembered.limits[stored] ?? SendingLimits(stored: stored.text, for: subject).effective(for: subject)
        learned.limits[stored] = limits
        return limits
    }
}
