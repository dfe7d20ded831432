import Foundation
import Postgres

/// The limits and the usage of the senders and pools of one pre-wire batch, their rows locked until the end of its transaction.
struct LimitLedger {
    private struct PoolPlace: Hashable {
        let account: Account.ID
        let pool: Pool.ID
    }

    fileprivate struct Entry {
        let limits: EffectiveLimits
        /// As the row stood.
        let known: SendingUsage
        /// With what this batch adds.
        var usage: SendingUsage
        var pairedAt: Date?
        var health: SenderHealth?
    }

    private var senders: [DueSender: Entry] = [:]
    private var pools: [PoolPlace: Entry] = [:]

    // MARK: Loading

    static func load(for requests: [PreWireRequest], isPaced: Bool, in transaction: Transaction) async throws -> LimitLedger {
        var ledger = LimitLedger()
        let senders = Array(Set(requests.map(\.owner.place)))
        let pools = Array(
            Set(requests.compactMap { request in request.message.dispatch.limitedPool.map { PoolPlace(account: request.owner.account, pool: $0) } }))
        guard !senders.isEmpty else { return ledger }
        let results = try await transaction.pipeline(senderStatements(senders, isPaced) + (pools.isEmpty ? [] : poolStatements(pools)))
        for standing in try results[1].rows(as: SenderStanding.init) {
            ledger.senders[standing.sender] = Entry(
                limits: standing.limits, known: standing.usage, usage: standing.usage, pairedAt: standing.pairedAt, health: standing.health)
        }
        guard !pools.isEmpty else { return ledger }
        for (place, entry) in try results[3].rows(as: Self.readPool) { ledger.pools[place] = entry }
        return ledger
    }

    private static func senderStatements(_ senders: [DueSender], _ isPaced: Bool) -> [Statement] {
        [
            Statement(
                "limits.makeSenderUsage",
                """
                INSERT INTO sender_usage (account_id, sender_id)
                SELECT account_id, sender_id
                FROM unnest(\(senders.map(\.account)), \(senders.map(\.sender))) AS i (account_id, sender_id)
                ORDER BY account_id, sender_id
                ON CONFLICT (account_id, sender_id) DO NOTHING
                """),
            Statement("limits.lockSenders", SenderStanding.query(senders, isPaced: isPaced, locked: true)),
        ]
    }

    private static func poolStatements(_ pools: [PoolPlace]) -> [Statement] {
        [
            Statement(
                "limits.makePoolUsage",
                """
                INSERT INTO pool_usage (account_id, pool_id)
                SELECT p.account_id, p.pool_id
                FROM unnest(\(pools.map(\.account)), \(pools.map(\.pool))) AS i (account_id, pool_id)
                JOIN pools p ON p.account_id = i.account_id AND p.pool_id = i.pool_id
                ORDER BY p.account_id, p.pool_id
                ON CONFLICT (account_id, pool_id) DO NOTHING
                """),
            Statement(
                "limits.lockPools",
                """
                SELECT p.account_id, p.pool_id, p.limits::text AS limits, \(SendingUsage.columns("u"))
                FROM unnest(\(pools.map(\.account)), \(pools.map(\.pool))) AS i (account_id, pool_id)
                JOIN pools p ON p.account_id = i.account_id AND p.pool_id = i.pool_id
                JOIN pool_usage u ON u.account_id = p.account_id AND u.pool_id = p.pool_id
                ORDER BY u.account_id, u.pool_id
                FOR UPDATE OF u
                """),
        ]
    }

    private static func readPool(_ row: RowReader) throws -> (PoolPlace, Entry) {
        let usage = try SendingUsage(row)
        let limits = try SendingLimits(stored: row["limits"], for: .pool).effective(for: .pool)
        return (PoolPlace(account: try row["account_id"], pool: try row["pool_id"]), Entry(limits: limits, known: usage, usage: usage))
    }

    // MARK: Deciding

    /// Until when the message must wait; nil: it may leave.
    func wait(for request: PreWireRequest) -> Date? {
        guard request.isLimited else { return nil }
        let entries = [senders[request.owner.place], pool(of: request).flatMap { pools[$0] }].compactMap { $0 }
        let ends = entries.compactMap { entry -> Date? in
            let dispatch = request.message.dispatch
            if let health = entry.health {
                if health.isPaused(at: request.now) { return health.pausedUntil }
                if dispatch.isCold, health.stopsNewChats(at: request.now) { return health.newChatsUntil }
            }
            let zone = entry.limits.quietHours == nil ? nil : RecipientZone(digits: request.message.recipient.digits)
            let verdict = LimitCheck.verdict(
                entry.limits, entry.usage, pairedAt: entry.pairedAt, isCold: dispatch.isCold, priority: dispatch.priority, zone: zone,
                at: request.now)
            return verdict.limitedBy == nil ? nil : verdict.allowedAt
        }
        return ends.max()
    }

    /// - Parameter chance: in 0..<1, for the jitter of the gap that follows.
    mutating func debit(_ request: PreWireRequest, chance: Double) {
        guard request.isLimited else { return }
        let isCold = request.message.dispatch.isCold
        senders[request.owner.place]?.debit(isCold: isCold, chance: chance, at: request.now)
        if let pool = pool(of: request) { pools[pool]?.debit(isCold: isCold, chance: chance, at: request.now) }
    }

    /// Begins anew and counts these only.
    mutating func debitOnly(_ requests: [PreWireRequest], chance: () -> Double) {
        for place in senders.keys { senders[place]?.forget() }
        for place in pools.keys { pools[place]?.forget() }
        for request in requests { debit(request, chance: chance()) }
    }

    private func pool(of request: PreWireRequest) -> PoolPlace? {
        request.message.dispatch.limitedPool.map { PoolPlace(account: request.owner.account, pool: $0) }
    }

    // MARK: Writing

    /// The rows that changed.
    func statements() -> [Statement] {
        let senders = senders.filter { $0.value.usage != $0.value.known }
        let pools = pools.filter { $0.value.usage != $0.value.known }
        var statements: [Statement] = []
        if !senders.isEmpty {
            statements.append(
                Statement(
                    "limits.debitSenders",
                    Self.update(
                        "sender_usage", "sender_id", senders.keys.map(\.account.uuid), senders.keys.map(\.sender.uuid), senders.values.map(\.usage))
                ))
        }
        if !pools.isEmpty {
            statements.append(
                Statement(
                    "limits.debitPools",
                    Self.update("pool_usage", "pool_id", pools.keys.map(\.account.uuid), pools.keys.map(\.pool.uuid), pools.values.map(\.usage))))
        }
        return statements
    }

    private static func update(_ table: String, _ key: String, _ accounts: [UUID], _ ids: [UUID], _ usages: [SendingUsage]) -> SQL {
        """
        UPDATE \(unescaped: table) u
        SET second_start = i.second_start, second_used = i.second_used, minute_start = i.minute_start, minute_used = i.minute_used,
            hour_start = i.hour_start, hour_used = i.hour_used, day_start = i.day_start, day_used = i.day_used,
            new_recipients_used = i.new_recipients_used, next_at = i.next_at
        FROM unnest(\(accounts), \(ids), \(usages.map(\.second.start)), \(usages.map(\.second.used)), \(usages.map(\.minute.start)),
            \(usages.map(\.minute.used)), \(usages.map(\.hour.start)), \(usages.map(\.hour.used)), \(usages.map(\.day.start)),
            \(usages.map(\.day.used)), \(usages.map(\.newRecipients)), \(usages.map(\.nextAt)))
            AS i (account_id, id, second_start, second_used, minute_start, minute_used, hour_start, hour_used, day_start, day_used,
                new_recipients_used, next_at)
        WHERE u.account_id = i.account_id AND u.\(unescaped: key) = i.id
        """
    }
}

extension LimitLedger.Entry {
    fileprivate mutating func debit(isCold: Bool, chance: Double, at now: Date) {
        usage.add(cold: isCold ? 1 : 0, at: now)
        let pause = limits.pause(isCold: isCold, chance: chance)
        if pause > 0 { usage.nextAt = max(usage.nextAt, now.addingTimeInterval(Double(pause) / 1_000)) }
    }

    fileprivate mutating func forget() { usage = known }
}
