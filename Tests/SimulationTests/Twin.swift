@testable import Domain
import Foundation
import Postgres
import Simulation
import TestSupport

/// The model and a real database side by side: every verb runs on both with the same ids and times, and every row must agree afterwards.
struct Twin {
    static let senderCount = 3
    static let recipientCount = 3

    let test: TestGateway
    let account: Account.ID
    let senders: [Sender.ID]
    let limits: EffectiveLimits
    var random: TwinRandom
    var model: ModelDatabase
    let sabotage: ModelSabotage?
    /// Milliseconds since `ModelTime.epoch`; the test's clock stands at the same moment.
    var time: Int
    var ids: [Message.ID] = []
    var numbers: [Message.ID: Int] = [:]
    var recipients: [[UInt8]: Int] = [:]
    var wireNames: [String: Int] = [:]
    var claims: [(model: ModelDatabase.Claimed, real: ClaimedMessage)] = []
    var owners: [ModelOwner] = []
    /// Counts the sequences, so that each has idempotency keys of its own.
    var sequence = 0
    var position = MovePosition()
    /// What has been done, for the report of a difference.
    var story: [String] = []

    var now: Date { ModelTime.date(time) }

    /// Three ready senders of one account, with limits on request.
    static func make(_ test: TestGateway, isLimited: Bool, seed: UInt64, sabotage: ModelSabotage? = nil) async throws -> Twin {
        var senders: [Sender.ID] = []
        var account: Account.ID?
        for number in 0..<senderCount {
            let made = try await test.makeReadySender(account: account, label: "CS \(number)", node: "node-0")
            account = made.account
            senders.append(made.sender)
        }
        guard let account else { throw TestFailure("no sender") }
        let limits = isLimited ? EffectiveLimits(perMinute: 3, newRecipientsPerDay: 2, gap: 1_000, coldGap: 2_000) : .none
        if isLimited {
            try await test.owner.execute(
                "test.limits",
                """
                UPDATE senders SET limits = '{"per_minute": 3, "new_recipients_per_day": 2, "gap_ms": 1000, "cold_gap_ms": 2000}'
                WHERE account_id = \(account)
                """)
        }
        return Twin(
            test: test, account: account, senders: senders, limits: limits, random: TwinRandom(state: seed),
            model: ModelDatabase(senders: [], limits: limits, sabotage: sabotage), sabotage: sabotage, time: ModelTime.moment(test.now))
    }

    /// Both sides forget everything but the accounts and senders, which are ready and held by nobody.
    mutating func begin() async throws {
        time += 60_000
        test.clock.advance(by: 60)
        let account = account
        let places = Array(1...senders.count)
        let senders = senders
        try await test.owner.transaction([]) { transaction in
            var statements = ["outbox", "sender_health", "sender_usage", "sender_recipients"].map {
                Statement("test.forget", "DELETE FROM \(unescaped: $0) WHERE account_id = \(account)")
            }
            statements.append(
                Statement(
                    "test.ready", "UPDATE senders SET state = 'ready', removed_at = NULL, state_since = '-infinity' WHERE account_id = \(account)"))
            statements.append(
                Statement("test.free", "UPDATE sender_leases SET holder = NULL, expires_at = '-infinity' WHERE account_id = \(account)"))
            statements.append(
                Statement(
                    "test.members",
                    """
                    INSERT INTO pool_members (account_id, pool_id, sender_id, place)
                    SELECT p.account_id, p.pool_id, i.sender_id, i.place
                    FROM pools p, unnest(\(senders), \(places)) AS i (sender_id, place)
                    WHERE p.account_id = \(account) AND p.is_default
                    ON CONFLICT DO NOTHING
                    """))
            _ = try await transaction.commit(with: statements)
        }
        let epochs = try await test.owner.query(
            "test.epochs", "SELECT sender_id, epoch FROM sender_leases WHERE account_id = \(account)",
            as: { (try $0.column("sender_id", as: Sender.ID.self), try $0.column("epoch", as: Int64.self)) })
        model = ModelDatabase(senders: senders.map { _ in ModelSender(account: 0, state: "ready") }, limits: limits, sabotage: sabotage)
        for (sender, epoch) in epochs { model.setEpoch(Int(epoch), of: senders.firstIndex(of: sender)!) }
        (ids, numbers, wireNames, claims, owners, story) = ([], [:], [:], [], [], [])
        sequence += 1
        position = MovePosition()
        test.gateway.routing.forget(account)
        try await acquire(node: 0)
    }

    // MARK: Names

    func real(_ owner: ModelOwner) -> OwnedSender { OwnedSender(account: account, sender: senders[owner.sender], epoch: Int64(owner.epoch)) }

    static func wireID(_ message: Int, sender: Int) -> Int { message * 64 + sender }

    // MARK: Leases

    mutating func acquire(node: Int) async throws {
        let real = try await test.gateway.leases.acquire(node: "node-\(node)", limit: 100, ttl: .seconds(3_600))
        let taken = model.acquire(node: node, limit: 100, ttl: 3_600_000, clock: 0, now: time)
        owners += taken.map(\.owner)
        story.append("acquire by node \(node): \(taken.map(\.owner))")
        try expect(Set(real.map(\.owner)) == Set(taken.map { self.real($0.owner) }), "other senders were taken: \(real.map(\.owner.epoch))")
    }

    mutating func expire(_ sender: Int) async throws {
        story.append("lease of \(sender) runs out")
        try await test.owner.execute(
            "test.expire", "UPDATE sender_leases SET expires_at = '-infinity' WHERE account_id = \(account) AND sender_id = \(senders[sender])")
        model.expireLease(of: sender)
    }

    // MARK: Comparing

    func expect(_ isTrue: Bool, _ what: @autoclosure () -> String) throws {
        if !isTrue { throw TestFailure("\(what())\nafter:\n\(story.suffix(30).joined(separator: "\n"))") }
    }

    /// Every row of both sides as text.
    func compare() async throws {
        let real = try await realRows()
        let model = modelRows()
        guard real != model else { return }
        let missing = model.filter { !real.contains($0) }
        let surplus = real.filter { !model.contains($0) }
        try expect(false, "model: \(missing.joined(separator: "\n       "))\n real: \(surplus.joined(separator: "\n       "))")
    }

    private func modelRows() -> [String] {
        var rows: [String] = []
        for (id, message) in model.messages.enumerated() {
            guard let message else { continue }
            var row =
                "m \(id) \(message.state.name) s\(message.sender) w\(message.wireID) a\(message.attempts) r\(message.refusals) v\(message.moves)"
            row += " e\(message.eventCount) \(message.failure ?? "-") \(message.settledAt.map(String.init) ?? "-") |"
            if let out = model.outbox[id] {
                row +=
                    " \(out.state.name) s\(out.sender) w\(out.wireID) \(out.dueAt) \(out.deadline.map(String.init) ?? "-") e\(out.epoch) c\(out.claims)"
                row += " a\(out.attempts) r\(out.refusals) x\(out.excluded.map(String.init).joined(separator: ","))"
            }
            row += " | " + model.events[id].dropFirst().map { "\($0.number):\($0.kind):\($0.failure ?? "")" }.joined(separator: ",")
            row += " | "
            row += model.attempts[id].sorted { $0.number < $1.number }.map {
                "\($0.number):s\($0.sender):\($0.epoch):\($0.outcome):\($0.serverCode.map(String.init) ?? "")"
            }
            .joined(separator: ",")
            rows.append(row)
        }
        for (index, sender) in model.senders.enumerated() {
            let lease = model.leases[index]
            func finite(_ moment: Int) -> String { moment == Int.min ? "-" : String(moment) }
            rows.append(
                "s \(index) \(sender.state) e\(lease.epoch) \(lease.holder.map { "node-\($0)" } ?? "-") p\(finite(sender.pausedUntil)) \(sender.pauseLevel)"
                    + " n\(finite(sender.newChatsUntil)) \(sender.newChatsLevel) u\(used(model.usage[index]))")
        }
        for (pair, greeting) in model.known { rows.append("g \(pair.sender) \(pair.recipient) \(greeting.isRefused ? "refused" : "-")") }
        return rows.sorted()
    }

    private func used(_ usage: SendingUsage) -> String {
        "\(usage.minute.used) \(usage.day.used) \(usage.newRecipients) \(usage.nextAt == .distantPast ? "-" : String(ModelTime.moment(usage.nextAt)))"
    }

    private func realRows() async throws -> [String] {
        let account = account
        let messages = try await test.owner.query(
            "test.messages",
            """
            SELECT m.message_id, m.state, m.sender_id, m.wire_id, m.attempts, m.refusals, m.moves, m.events, m.failure_code, m.settled_at,
                b.state AS out_state, b.sender_id AS out_sender, b.wire_id AS out_wire, b.due_at, b.deadline, b.epoch, b.claims,
                b.attempts AS out_attempts, b.refusals AS out_refusals, b.excluded,
                (SELECT string_agg(e.number || ':' || e.kind || ':' || coalesce(e.failure_code, ''), ',' ORDER BY e.number) FROM message_events e
                    WHERE e.account_id = m.account_id AND e.message_id = m.message_id) AS told,
                ARRAY(SELECT t.attempt || ':' || t.sender_id || ':' || t.epoch || ':' || t.outcome || ':' || coalesce(t.server_code::text, '')
                    FROM message_attempts t WHERE t.account_id = m.account_id AND t.message_id = m.message_id ORDER BY t.attempt) AS tried
            FROM messages m
            LEFT JOIN outbox b ON b.account_id = m.account_id AND b.message_id = m.message_id
            WHERE m.account_id = \(account) AND m.message_id = ANY (\(ids))
            """
        ) { row -> String in
            func place(_ id: Sender.ID) -> String { "s" + (senders.firstIndex(of: id).map(String.init) ?? "?") }
            func moment(_ name: String) throws -> String { try row.column(name, as: Date?.self).map { String(ModelTime.moment($0)) } ?? "-" }
            let id = numbers[try row.column("message_id", as: Message.ID.self)] ?? -1
            func wire(_ name: String) throws -> String { "w" + (wireNames[try row.column(name, as: String.self)].map(String.init) ?? "?") }
            var text = "m \(id) \(try row.column("state", as: String.self)) \(place(try row["sender_id"])) \(try wire("wire_id"))"
            text +=
                " a\(try row.column("attempts", as: Int.self)) r\(try row.column("refusals", as: Int.self)) v\(try row.column("moves", as: Int.self))"
            text +=
                " e\(try row.column("events", as: Int.self)) \(try row.column("failure_code", as: String?.self) ?? "-") \(try moment("settled_at")) |"
            if let state = try row.column("out_state", as: String?.self) {
                text += " \(state) \(place(try row["out_sender"])) \(try wire("out_wire")) \(try moment("due_at")) \(try moment("deadline"))"
                text +=
                    " e\(try row.column("epoch", as: Int64.self)) c\(try row.column("claims", as: Int.self)) a\(try row.column("out_attempts", as: Int.self))"
                text += " r\(try row.column("out_refusals", as: Int.self)) x"
                text += try row.column("excluded", as: [Sender.ID].self).map { String(place($0).dropFirst()) }.joined(separator: ",")
            }
            text += " | \(try row.column("told", as: String?.self) ?? "") | "
            text += try row.column("tried", as: [String].self).map { tried in
                senders.enumerated().reduce(tried) { $0.replacingOccurrences(of: $1.element.uuid.uuidString.lowercased(), with: "s\($1.offset)") }
            }.joined(separator: ",")
            return text
        }
        let standing = try await test.owner.query(
            "test.senders",
            """
            SELECT s.sender_id, s.state, l.epoch, l.holder, coalesce(h.paused_until, '-infinity') AS paused_until, coalesce(h.pause_level, 0::smallint) AS pause_level,
                coalesce(h.new_chats_until, '-infinity') AS new_chats_until, coalesce(h.new_chats_level, 0::smallint) AS new_chats_level,
                coalesce(u.minute_used, 0) AS minute_used, coalesce(u.day_used, 0) AS day_used,
                coalesce(u.new_recipients_used, 0) AS new_recipients_used, coalesce(u.next_at, '-infinity') AS next_at
            FROM senders s
            JOIN sender_leases l ON l.account_id = s.account_id AND l.sender_id = s.sender_id
            LEFT JOIN sender_health h ON h.account_id = s.account_id AND h.sender_id = s.sender_id
            LEFT JOIN sender_usage u ON u.account_id = s.account_id AND u.sender_id = s.sender_id
            WHERE s.account_id = \(account)
            """
        ) { row -> String in
            let index = senders.firstIndex(of: try row["sender_id"]) ?? -1
            func moment(_ name: String) throws -> String {
                let date = try row.column(name, as: Date.self)
                return date == .distantPast ? "-" : String(ModelTime.moment(date))
            }
            var text = "s \(index) \(try row.column("state", as: String.self)) e\(try row.column("epoch", as: Int64.self))"
            text +=
                " \(try row.column("holder", as: String?.self) ?? "-") p\(try moment("paused_until")) \(try row.column("pause_level", as: Int.self))"
            text +=
                " n\(try moment("new_chats_until")) \(try row.column("new_chats_level", as: Int.self)) u\(try row.column("minute_used", as: Int.self))"
            text += " \(try row.column("day_used", as: Int.self)) \(try row.column("new_recipients_used", as: Int.self)) \(try moment("next_at"))"
            return text
        }
        let greeted = try await test.owner.query(
            "test.greeted", "SELECT sender_id, recipient_index, refused_at FROM sender_recipients WHERE account_id = \(account)"
        ) { row -> String in
            let recipient = recipients[try row.column("recipient_index", as: [UInt8].self)] ?? -1
            let refused = try row.column("refused_at", as: Date?.self)
            return "g \(senders.firstIndex(of: try row["sender_id"]) ?? -1) \(recipient) \(refused == nil ? "-" : "refused")"
        }
        return (messages + standing + greeted).sorted()
    }
}

/// Chance, the same every time.
struct TwinRandom {
    var state: UInt64

    mutating func below(_ bound: Int) -> Int {
        var generator = SplitMix64(seed: state)
        state = generator.next()
        return Int(state >> 33) % bound
    }

    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}

extension Twin {
    /// Nobody takes this account's senders any more, and nothing of it is swept.
    func retire() async throws {
        let account = account
        try await test.owner.transaction([]) { transaction in
            _ = try await transaction.commit(with: [
                Statement("test.forget", "DELETE FROM outbox WHERE account_id = \(account)"),
                Statement("test.retire", "UPDATE senders SET state = 'unpaired', removed_at = NULL WHERE account_id = \(account)"),
            ])
        }
    }
}
