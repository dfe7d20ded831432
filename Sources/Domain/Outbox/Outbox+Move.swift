package import Foundation
import Postgres
import Primitives
import Secrets

/// How far the mover has looked; each node has its own and begins anew after a restart.
package struct MovePosition: Sendable {
    struct Row: Sendable {
        var priority: Int16 = -1
        var dueAt = Date(timeIntervalSince1970: 0)
        var message = Message.ID(UUIDv7.lowest(at: .distantPast))
    }

    /// Senders after this one come next.
    var sender: DueSender?
    /// In the queue of each sender that is stuck: messages after this one come next.
    var rows: [DueSender: Row] = [:]
    /// Since when nobody was seen to hold a sender.
    var orphanedSince: [DueSender: Date] = [:]

    package init() {}
}

/// What one turn of the mover did.
package struct Moved: Sendable, Equatable {
    package var moved = 0
    package var failed = 0
    /// How many messages were looked at.
    package var looked = 0
}

extension Outbox {
    /// How long a sender may be away before its messages look for another one; a limit or pause that ends within `patience` is waited for.
    static let absence: TimeInterval = 10
    static let patience: TimeInterval = 5
    /// How much sooner another sender must be able to send, if it cannot now either.
    static let advantage: TimeInterval = 60
    private static let sendersPerTurn = 500
    private static let stuckPerTurn = 50
    private static let messagesPerTurn = 500

    /// Gives messages whose sender has stopped to another one that may send now, or much sooner. Only while nothing has left: the row stands as
    /// `accepted` and is locked; one that is being claimed is left alone. A named sender is never changed; a message that was not to wait fails when its
    /// sender has stopped and nobody else may send it. A bounded piece of work: once a second on any node, any number at once.
    package func move(from position: inout MovePosition, now: Date) async throws -> Moved {
        let stuck = try await stuckSenders(&position, now)
        var waiting = try await waiting(for: stuck, &position)
        waiting += try await refusedHere(now)
        let candidates = waiting.filter { ($0.isMovable || $0.failFast) && $0.expiresAt > now }
        var verdicts: [Verdict] = []
        for message in candidates {
            // One after the other: each decision counts for the next one.
            if let verdict = try await verdict(on: message, &position, now) { verdicts.append(verdict) }
        }
        var routes: [Rerouted] = []
        var abandoned: [Abandoned] = []
        for verdict in verdicts {
            switch verdict {
            case .move(let route): routes.append(route)
            case .abandon(let given): abandoned.append(given)
            }
        }
        if !verdicts.isEmpty { Failpoint.hit(.moveBegin) }
        var moved = Moved(looked: candidates.count)
        moved.moved = try await move(routes, now: now)
        moved.failed = try await abandon(abandoned, now: now)
        if moved.moved > 0 { Failpoint.hit(.moved) }
        try await announce(Set(routes.map { DueSender(account: $0.message.account, sender: $0.sender) }))
        return moved
    }

    // MARK: Who is stuck

    /// Senders with a queue that may not be able to go on, at most `stuckPerTurn`; the next turn begins where this one ended.
    private func stuckSenders(_ position: inout MovePosition, _ now: Date) async throws -> [DueSender] {
        let zero = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        let found = try await databases.engine.query(
            "outbox.queuedSenders",
            """
            SELECT account_id, sender_id, suspect
            FROM gateway_queued_senders(\(position.sender?.account.uuid ?? zero), \(position.sender?.sender.uuid ?? zero), \(now),
                make_interval(secs => \(Self.patience)), \(Int32(Self.sendersPerTurn)))
            """
        ) { row in
            (sender: DueSender(account: try row["account_id"], sender: try row["sender_id"]), isSuspect: try row.column("suspect", as: Bool.self))
        }
        let suspects = found.filter(\.isSuspect).prefix(Self.stuckPerTurn).map(\.sender)
        if suspects.count == Self.stuckPerTurn {
            position.sender = suspects.last
        } else {
            position.sender = found.count < Self.sendersPerTurn ? nil : found.last?.sender
        }
        // What was looked at and is well again is forgotten.
        for (sender, isSuspect) in found where !isSuspect {
            position.rows[sender] = nil
            position.orphanedSince[sender] = nil
        }
        if position.rows.count > 10_000 { position.rows.removeAll() }
        return try await suspects.asyncFilter { try await !isAtWork($0, now) }
    }

    /// It is connected and nothing limits it: its queue is merely long.
    private func isAtWork(_ place: DueSender, _ now: Date) async throws -> Bool {
        do {
            guard let candidate = try await routing.snapshot(of: place.account).candidate(place.sender) else { return false }
            return candidate.state == .ready && candidate.isOwned && candidate.pausedUntil <= now && candidate.newChatsUntil <= now
                && candidate.limits.isUnlimited
        } catch is AccountGone {
            return true
        }
    }

    /// The next messages of those senders' queues.
    private func waiting(for senders: [DueSender], _ position: inout MovePosition) async throws -> [WaitingMessage] {
        guard !senders.isEmpty else { return [] }
        let starts = senders.map { position.rows[$0] ?? MovePosition.Row() }
        let page = max(10, Self.messagesPerTurn / senders.count)
        let rows = try await databases.engine.query(
            "outbox.stuck",
            """
            SELECT \(WaitingMessage.columns)
            FROM unnest(\(senders.map(\.account)), \(senders.map(\.sender)), \(starts.map(\.priority)), \(starts.map(\.dueAt)),
                \(starts.map(\.message))) AS i (account_id, sender_id, priority, due_at, message_id)
            CROSS JOIN LATERAL (
                SELECT o.account_id, o.message_id, o.sender_id, o.movable, o.fail_fast, o.excluded, o.priority, o.due_at, o.expires_at
                FROM outbox o
                WHERE o.account_id = i.account_id AND o.sender_id = i.sender_id AND o.state = 'accepted'
                  AND (o.priority, o.due_at, o.message_id) > (i.priority, i.due_at, i.message_id)
                ORDER BY o.priority, o.due_at, o.message_id
                LIMIT \(page)
            ) b
            \(WaitingMessage.joins)
            ORDER BY b.priority, b.due_at, b.message_id
            """, settings: Databases.walks(senders.map(\.account)), access: .readOnly, as: WaitingMessage.init)
        let bySender = Dictionary(grouping: rows, by: \.place)
        for sender in senders {
            let found = bySender[sender] ?? []
            position.rows[sender] =
                found.count < page ? nil : found.last.map { MovePosition.Row(priority: $0.priority.rank, dueAt: $0.dueAt, message: $0.id) }
        }
        return rows
    }

    /// Messages that their own sender must not send any more, longest not looked at first.
    private func refusedHere(_ now: Date) async throws -> [WaitingMessage] {
        let accounts = try await databases.engine.query(
            "outbox.refusedAccounts", "SELECT account_id FROM gateway_refused_accounts(\(Int32(Self.messagesPerTurn)))"
        ) { try $0.column("account_id", as: Account.ID.self) }
        guard !accounts.isEmpty else { return [] }
        return try await databases.engine.query(
            "outbox.refusedHere",
            """
            WITH b AS (
                UPDATE outbox SET route_checked_at = \(now)
                WHERE (account_id, message_id) IN (
                    SELECT account_id, message_id FROM outbox
                    WHERE state = 'accepted' AND movable AND sender_id = ANY (excluded)
                    ORDER BY route_checked_at
                    LIMIT \(Self.messagesPerTurn / 5)
                    FOR UPDATE SKIP LOCKED
                )
                RETURNING account_id, message_id, sender_id, movable, fail_fast, excluded, priority, due_at, expires_at
            )
            SELECT \(WaitingMessage.columns)
            FROM b
            \(WaitingMessage.joins)
            ORDER BY b.message_id
            """, settings: Databases.accounts(accounts), as: WaitingMessage.init)
    }

    // MARK: What becomes of a message

    private enum Verdict {
        case move(Rerouted)
        case abandon(Abandoned)
    }

    /// nil: it waits.
    private func verdict(on message: WaitingMessage, _ position: inout MovePosition, _ now: Date) async throws -> Verdict? {
        do {
            let routed = try message.routed(try await keys.sealer(for: message.account))
            let candidate = try await routing.snapshot(of: message.account).candidate(message.sender)
            let explained = try await routing.explain(message.request, for: routed, caller: message.caller, now: now)
            let own = explained.considered.first { $0.sender == message.sender }
            guard let plight = plight(of: message, candidate, own, &position, now) else { return nil }
            guard let other = explained.sender, other != message.sender, message.isMovable else {
                return failure(of: message, explained, plight, own, isGone: candidate == nil).map {
                    .abandon(Abandoned(message: message, failure: $0))
                }
            }
            let isBetter =
                switch plight {
                case .ended: explained.isWaiting == false || !needsAttention(explained, other)
                case .away: !explained.isWaiting
                case .until(let moment): !explained.isWaiting || explained.availableAt.map { $0 + Self.advantage < moment } ?? false
                }
            guard isBetter else { return nil }
            let decision = try await routing.decideAgain(message.request, for: routed, caller: message.caller, now: now)
            guard let sender = decision.sender, sender != message.sender else { return nil }
            return .move(Rerouted(message: message, sender: sender, decision: decision, now: now))
        } catch is AccountGone {
            return nil
        } catch let error as SecretsFailure {
            logger.error("waiting message cannot be opened", metadata: ["message.id": "\(message.id)", "error.code": "\(error.code)"])
            return nil
        }
    }

    /// Why a message's sender does not send it.
    private enum Plight: Equatable {
        /// It never will, unless a person does something.
        case ended
        /// Nobody knows when it is back.
        case away
        case until(Date)
    }

    /// nil: it may send it now, or so soon that it is waited for.
    private func plight(
        of message: WaitingMessage, _ candidate: RoutingSnapshot.Candidate?, _ own: RouteDecision.Considered?, _ position: inout MovePosition,
        _ now: Date
    ) -> Plight? {
        guard let candidate, !message.excluded.contains(message.sender), own?.verdict != .refused else { return .ended }
        switch candidate.state {
        case .unpaired, .pairing, .replaced, .loggedOut, .clientOutdated, .parked, .removing, .removed: return .ended
        case .temporarilyBanned: return candidate.pausedUntil > now ? .until(candidate.pausedUntil) : .away
        case .connecting, .disconnected: return now.timeIntervalSince(candidate.stateSince) > Self.absence ? .away : nil
        case .ready where !candidate.isOwned:
            let since = position.orphanedSince[message.place] ?? now
            position.orphanedSince[message.place] = since
            return now.timeIntervalSince(since) > Self.absence ? .away : nil
        case .ready: break
        }
        position.orphanedSince[message.place] = nil
        let availableAt = own?.verdict == .limited ? own?.availableAt : candidate.pausedUntil
        guard let availableAt, availableAt > now.addingTimeInterval(Self.patience) else { return nil }
        return .until(availableAt)
    }

    private func needsAttention(_ decision: RouteDecision, _ sender: Sender.ID) -> Bool {
        decision.considered.first { $0.sender == sender }?.verdict.standing == .needsAttention
    }

    /// nil: it waits.
    private func failure(
        of message: WaitingMessage, _ explained: RouteDecision, _ plight: Plight, _ own: RouteDecision.Considered?, isGone: Bool
    ) -> MessageFailure.Code? {
        if explained.failure == .nobodyNow { return .noSenderAvailable }
        guard explained.sender == nil else { return message.failFast ? .noSenderAvailable : nil }
        if message.failFast { return .noSenderAvailable }
        guard plight == .ended else { return nil }
        if isGone { return .senderRemoved }
        return message.excluded.contains(message.sender) || own?.verdict == .refused ? .newChatLimit : nil
    }

    private func move(_ routes: [Rerouted], now: Date) async throws -> Int {
        guard !routes.isEmpty else { return 0 }
        return try await databases.engine.query(
            "outbox.move",
            """
            WITH \(Rerouted.input(routes)),
            hit AS MATERIALIZED (
                SELECT b.account_id, b.message_id
                FROM outbox b
                JOIN input i ON i.account_id = b.account_id AND i.message_id = b.message_id
                WHERE b.state = 'accepted' AND b.movable AND b.sender_id = i.old_sender_id AND b.expires_at > \(now)
                ORDER BY b.account_id, b.message_id
                FOR UPDATE OF b SKIP LOCKED
            ),
            due AS (
                UPDATE outbox b
                SET sender_id = i.sender_id, wire_id = i.wire_id, due_at = least(b.due_at, \(now)), epoch = 0, route_checked_at = \(now)
                FROM hit
                JOIN input i ON i.account_id = hit.account_id AND i.message_id = hit.message_id
                WHERE b.account_id = hit.account_id AND b.message_id = hit.message_id
            ),
            moved AS (
                UPDATE messages m
                SET sender_id = i.sender_id, wire_id = i.wire_id, pool_id = i.pool_id, policy = i.policy, route_reason = i.route_reason,
                    estimated_at = i.estimated_at, limited_by = i.limited_by, moves = m.moves + 1, events = m.events + 1
                FROM hit
                JOIN input i ON i.account_id = hit.account_id AND i.message_id = hit.message_id
                WHERE m.account_id = hit.account_id AND m.message_id = hit.message_id
                RETURNING m.account_id, m.message_id, m.events
            ),
            told AS (
                INSERT INTO message_events (account_id, message_id, number, event_id, kind, at)
                SELECT account_id, message_id, events, gateway_uuid7(\(now)), 'rerouted', \(now) FROM moved
            )
            SELECT message_id FROM moved ORDER BY message_id
            """, settings: Databases.accounts(routes.map(\.message.account)), as: { _ in }
        ).count
    }
}

extension Sequence {
    fileprivate func asyncFilter(_ isIncluded: (Element) async throws -> Bool) async rethrows -> [Element] {
        var kept: [Element] = []
        for element in self where try await isIncluded(element) { kept.append(element) }
        return kept
    }
}
