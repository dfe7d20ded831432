@testable import Domain
import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct MoveTests {
    /// What stops a sender, and how long its messages stay with it.
    enum Cause: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case parked, loggedOut, replaced, unpaired, clientOutdated, banned, removing, removed, disconnected, paused, limited, orphaned

        var testDescription: String { rawValue }
    }

    @Test(arguments: Cause.allCases) func `messages of a sender that has stopped go to another one, once`(cause: Cause) async throws {
        try await withTestGateway { test in
            let pair = try await Pair(test)
            let message = try await pair.accept()
            let old = try pair.owner(of: message)
            let new = try pair.other(than: message)

            var position = MovePosition()
            let before = try await test.gateway.outbox.move(from: &position, now: test.now)
            try await pair.stop(old, cause)
            _ = try await test.gateway.outbox.move(from: &position, now: test.now)
            test.clock.advance(by: 11)
            let after = try await pair.move(&position)
            let again = try await pair.move(&position)
            _ = try await test.gateway.outbox.sweep(now: test.now)

            let view = try #require(try await test.gateway.messages.find(message.id, account: pair.account))
            #expect(before.moved == 0 && again.moved == 0)
            #expect(after.moved == 1 || cause.isImmediate)
            #expect(view.status == .queued && view.sender?.id == new.sender && view.moves == 1 && view.wireID != message.wireID)
            let events = try await test.gateway.messages.events(message.id, account: pair.account)
            #expect(events?.map(\.kind) == [.queued, .rerouted] && events?.map(\.number) == [1, 2])
            let claimed = try #require(try await test.claim(new).first)
            try await test.gateway.outbox.preWire(claimed, owner: new, now: test.now)
            #expect(claimed.wireID == view.wireID)
            #expect(try await test.count("SELECT 1 AS one FROM wire_ids") == 1)
        }
    }

    @Test func `a short absence, a short pause and a long queue move nobody`() async throws {
        try await withTestGateway { test in
            let pair = try await Pair(test)
            for _ in 0..<6 { _ = try await pair.accept() }
            var position = MovePosition()

            _ = try await test.gateway.senders.recordState(pair.first, .disconnected, now: test.now)
            test.clock.advance(by: 9)
            let away = try await pair.move(&position)
            _ = try await test.gateway.senders.recordState(pair.first, .ready, now: test.now)
            try await pair.pause(pair.first, seconds: 4)
            let paused = try await pair.move(&position)
            test.clock.advance(by: 600)
            let busy = try await pair.move(&position)

            #expect(away.moved == 0 && paused.moved == 0 && busy.moved == 0)
            #expect(busy.looked == 0)
        }
    }

    @Test func `a named sender's messages stay, and of those that were not to wait the ones nobody may send fail`() async throws {
        try await withTestGateway { test in
            let pair = try await Pair(test)
            let named = try await pair.accept(sender: pair.first.sender)
            let hasty = try await pair.accept(sender: pair.first.sender, failFast: true)
            let free = try await pair.accept(failFast: true)
            for owner in [pair.first, pair.second] { try await pair.stop(owner, .parked) }

            var position = MovePosition()
            test.clock.advance(by: 2)
            let moved = try await pair.move(&position)

            #expect(moved.moved == 0 && moved.failed == 2)
            #expect(try await test.gateway.messages.find(named.id, account: pair.account)?.status == .queued)
            for id in [hasty.id, free.id] {
                let view = try await test.gateway.messages.find(id, account: pair.account)
                #expect(view?.status == .failed && view?.failure?.code == .noSenderAvailable)
            }
        }
    }

    @Test func `what nobody can ever send fails when its sender is removed, and waits when somebody may come back`() async throws {
        try await withTestGateway { test in
            let pair = try await Pair(test)
            let message = try await pair.accept()
            let old = try pair.owner(of: message)
            let other = try pair.other(than: message)
            try await pair.stop(other, .parked)
            try await pair.stop(old, .removed)
            test.clock.advance(by: 2)

            var position = MovePosition()
            let waiting = try await pair.move(&position)
            _ = try await test.gateway.outbox.sweep(now: test.now)
            let between = try await test.gateway.messages.find(message.id, account: pair.account)?.status
            try await pair.stop(other, .removed)
            test.clock.advance(by: 2)
            let gone = try await pair.move(&position)

            #expect(waiting.moved + waiting.failed == 0 && between == .queued && gone.failed == 1)
            let view = try await test.gateway.messages.find(message.id, account: pair.account)
            #expect(view?.status == .failed && view?.failure?.code == .senderRemoved)
        }
    }

    @Test func `two movers and a claim at once move every message at most once and lose none`() async throws {
        try await withTestGateway(connections: 8) { test in
            let pair = try await Pair(test)
            for _ in 0..<60 { _ = try await pair.accept() }
            try await pair.stop(pair.first, .parked)
            test.clock.advance(by: 2)
            test.gateway.routing.forget(pair.account)

            let moved = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        var position = MovePosition()
                        return try await test.gateway.outbox.move(from: &position, now: test.now).moved
                    }
                }
                group.addTask {
                    _ = try await test.claim(pair.first)
                    return 0
                }
                return try await group.reduce(0, +)
            }

            let stayed = try await test.count("SELECT 1 AS one FROM outbox WHERE sender_id = \(pair.first.sender)")
            let prepared = try await test.count("SELECT 1 AS one FROM outbox WHERE state = 'prepared'")
            #expect(try await test.count("SELECT 1 AS one FROM outbox") == 60 && stayed <= prepared)
            #expect(try await test.count("SELECT 1 AS one FROM messages WHERE moves = 1") == moved)
            #expect(try await test.count("SELECT 1 AS one FROM messages WHERE moves > 1") == 0)
            #expect(
                try await test.count(
                    """
                    SELECT 1 AS one FROM messages m JOIN outbox b USING (account_id, message_id)
                    WHERE m.sender_id <> b.sender_id OR m.wire_id <> b.wire_id
                    """) == 0)
        }
    }

    @Test func `a message that its sender must not send goes to another one, or fails when there is none`() async throws {
        try await withTestGateway { test in
            let pair = try await Pair(test)
            let message = try await pair.accept()
            let old = try pair.owner(of: message)
            let new = try pair.other(than: message)
            try await pair.exclude([old.sender], from: message)

            var position = MovePosition()
            let moved = try await pair.move(&position)
            try await pair.exclude([old.sender, new.sender], from: message)
            let failed = try await pair.move(&position)

            #expect(moved.moved == 1 && failed.failed == 1)
            let view = try await test.gateway.messages.find(message.id, account: pair.account)
            #expect(view?.sender?.id == new.sender && view?.failure?.code == .newChatLimit)
        }
    }
}

extension MoveTests.Cause {
    /// Its messages do not wait for ten seconds.
    var isImmediate: Bool { self != .disconnected && self != .orphaned }
}

/// Two ready senders in one default pool.
private struct Pair {
    let test: TestGateway
    let account: Account.ID
    let first: OwnedSender
    let second: OwnedSender

    init(_ test: TestGateway) async throws {
        self.test = test
        let (account, _, first) = try await test.makeReadySender()
        let (_, _, second) = try await test.makeReadySender(account: account, label: "CS 2")
        self.account = account
        self.first = first
        self.second = second
    }

    func accept(sender: Sender.ID? = nil, failFast: Bool = false) async throws -> MessageView {
        let message = try SendMessage(
            to: "+628123456789", body: "x", sender: sender.map { "\($0)" }, failFast: failFast, now: test.now)
        return try await test.gateway.messages.accept(
            message, caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now
        ).message
    }

    func owner(of message: MessageView) throws -> OwnedSender { try #require([first, second].first { $0.sender == message.sender?.id }) }
    func other(than message: MessageView) throws -> OwnedSender { try #require([first, second].first { $0.sender != message.sender?.id }) }

    func move(_ position: inout MovePosition) async throws -> Moved {
        test.gateway.routing.forget(account)
        return try await test.gateway.outbox.move(from: &position, now: test.now)
    }

    func stop(_ owner: OwnedSender, _ cause: MoveTests.Cause) async throws {
        func record(_ state: SenderState) async throws { _ = try await test.gateway.senders.recordState(owner, state, now: test.now) }
        switch cause {
        case .parked: try await record(.parked)
        case .loggedOut: try await record(.loggedOut)
        case .replaced: try await record(.replaced)
        case .unpaired: try await record(.unpaired)
        case .clientOutdated: try await record(.clientOutdated)
        case .banned: try await record(.temporarilyBanned)
        case .removing: _ = try await test.gateway.senders.remove(owner.sender, account: account, now: test.now)
        case .removed: _ = try await test.gateway.senders.purge(owner, now: test.now)
        case .disconnected: try await record(.disconnected)
        case .paused: try await pause(owner, seconds: 3_600)
        case .limited:
            try await test.owner.execute(
                "test.limit",
                "UPDATE senders SET limits = '{\"per_day\": 1}' WHERE account_id = \(account) AND sender_id = \(owner.sender)")
            try await test.owner.execute(
                "test.used",
                """
                INSERT INTO sender_usage (account_id, sender_id, day_start, day_used)
                VALUES (\(account), \(owner.sender), date_trunc('day', \(test.now) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', 1)
                """)
        case .orphaned:
            try await test.owner.execute(
                "test.orphan",
                """
                UPDATE sender_leases SET holder = NULL, expires_at = now() - interval '1 minute'
                WHERE account_id = \(account) AND sender_id = \(owner.sender)
                """)
        }
        test.gateway.routing.forget(account)
    }

    func pause(_ owner: OwnedSender, seconds: Double) async throws {
        try await test.owner.execute(
            "test.pause",
            """
            INSERT INTO sender_health (account_id, sender_id, paused_until, pause_code, changed_at)
            VALUES (\(account), \(owner.sender), \(test.now.addingTimeInterval(seconds)), 'rate_limited', \(test.now))
            ON CONFLICT (account_id, sender_id) DO UPDATE SET paused_until = excluded.paused_until
            """)
        test.gateway.routing.forget(account)
    }

    func exclude(_ senders: [Sender.ID], from message: MessageView) async throws {
        try await test.owner.execute(
            "test.exclude", "UPDATE outbox SET excluded = \(senders) WHERE account_id = \(account) AND message_id = \(message.id)")
    }
}
