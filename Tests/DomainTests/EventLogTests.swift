@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

@Suite struct EventLogTests {
    @Test func `what is pulled is what was pushed, byte for byte, and a cursor goes on where it stopped`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            _ = try await test.addWebhook(account)
            for _ in 0..<3 { _ = try await test.travel(owner, account) }
            let pushed = Dictionary(uniqueKeysWithValues: try await test.claimWebhooks().map { ($0.event.description, $0.body) })
            var pulled: [EventPayload] = []
            var cursor: String?
            var pages = 0
            while true {
                let page = try await test.gateway.events.pull(account: account, after: cursor, limit: 5, now: test.now)
                pulled += page.events
                cursor = page.next
                pages += 1
                if !page.hasMore { break }
            }
            let rest = try await test.gateway.events.pull(account: account, after: cursor, now: test.now)

            #expect(pages == 3 && pulled.count == 12 && Set(pulled.map(\.id)).count == 12)
            for event in pulled { #expect(try event.bytes() == pushed[event.id]) }
            for (_, events) in Dictionary(grouping: pulled, by: { $0.data.message }) { #expect(events.compactMap(\.data.sequence) == [2, 3, 4, 5]) }
            #expect(rest.events.isEmpty && !rest.hasMore)
            _ = try await test.publish(account)
            #expect(try await test.gateway.events.pull(account: account, after: rest.next, now: test.now).events.map(\.type) == ["sender.ready"])
        }
    }

    /// The trap of every log with a running number: a number is taken early and seen late.
    @Test func `an event of a transaction that commits late is neither skipped nor doubled`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            _ = try await test.gateway.events.pull(account: account, now: test.now)
            let first = try await test.publish(account)
            let slow = test.database.open(connections: 1)
            let opened = AsyncStream<Event.ID>.makeStream()
            let release = AsyncStream<Void>.makeStream()
            let task = Task {
                try await slow.transaction(deadline: .seconds(600)) { transaction in
                    let event = Event.ID.make(at: test.now, random: SystemRandom())
                    _ = try await transaction.query(
                        "test.slow", "SELECT gateway_publish(\(account), \(event), 'sender.parked', true, NULL, NULL, NULL, \(test.now))",
                        as: { _ in })
                    opened.continuation.yield(event)
                    for await _ in release.stream { break }
                }
            }
            var late: Event.ID?
            for await event in opened.stream {
                late = event
                break
            }
            // While that one is open, others commit after it has taken its number.
            let quick = try await test.publish(account)
            let before = try await test.gateway.events.pull(account: account, now: test.now)
            release.continuation.yield()
            try await task.value
            await slow.close()
            let after = try await test.gateway.events.pull(account: account, after: before.next, now: test.now)
            let all = try await test.gateway.events.pull(account: account, now: test.now)

            #expect(before.events.map(\.id) == [first, quick].map(\.description))
            #expect(after.events.map(\.id) == [late?.description])
            #expect(all.events.map(\.id) == (before.events + after.events).map(\.id))
        }
    }

    @Test func `readers that follow many writers see everything once and in one order`() async throws {
        try await withTestGateway(connections: 6) { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            _ = try await test.gateway.events.pull(account: account, now: test.now)
            let engine = test.database.open(role: "gateway_engine", connections: 6)
            let writing = Task {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<6 {
                        group.addTask {
                            for _ in 0..<40 {
                                try await engine.transaction(Databases.accounts([account]), deadline: .seconds(600)) { transaction in
                                    for _ in 0..<3 {
                                        let event = Event.ID.make(at: test.now, random: SystemRandom())
                                        _ = try await transaction.query(
                                            "test.write",
                                            "SELECT gateway_publish(\(account), \(event), 'sender.ready', true, NULL, NULL, NULL, \(test.now))",
                                            as: { _ in })
                                    }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            func follow() async throws -> [String] {
                var seen: [String] = []
                var cursor: String?
                while seen.count < 720 {
                    let page = try await test.gateway.events.pull(account: account, after: cursor, limit: 7, now: test.now)
                    seen += page.events.map(\.id)
                    cursor = page.next
                }
                return seen
            }
            async let one = follow()
            async let two = follow()
            let (first, second) = try await (one, two)
            try await writing.value
            await engine.close()

            #expect(first == second && Set(first).count == 720 && first.count == 720)
        }
    }

    @Test func `a cursor is one account's, and nothing else is a cursor`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let other = try await test.gateway.accounts.create(name: "Warung", now: test.now).id
            let next = try await test.gateway.events.pull(account: account, now: test.now).next
            for bad in [next + "A", String(next.dropLast()), "", "x", "0-0", String(repeating: "A", count: 4_000)] {
                await #expect(throws: EventLog.InvalidCursor.self) {
                    _ = try await test.gateway.events.pull(account: account, after: bad, now: test.now)
                }
            }
            await #expect(throws: EventLog.InvalidCursor.self) { _ = try await test.gateway.events.pull(account: other, after: next, now: test.now) }
        }
    }

    @Test func `the log begins when it is asked for, ends a month after nobody asks, and keeps a month`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            _ = try await test.publish(account)
            #expect(try await test.gateway.events.pull(account: account, now: test.now).events.isEmpty)
            let event = try await test.publish(account)
            test.clock.advance(by: 29 * 86_400)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.gateway.events.pull(account: account, now: test.now).events.map(\.id) == [event.description])
            test.clock.advance(by: 2 * 86_400)
            // Without the cron, too.
            #expect(try await test.gateway.events.pull(account: account, now: test.now).events.isEmpty)
            #expect(try await test.count("SELECT 1 AS one FROM events") == 1)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.count("SELECT 1 AS one FROM events") == 0)
            test.clock.advance(by: 31 * 86_400)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await test.count("SELECT 1 AS one FROM event_subscribers") == 0)
        }
    }

    @Test func `replays go by id, by time and by endpoint, and the same key queues nothing twice`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let one = try await test.addWebhook(account)
            let two = try await test.addWebhook(account)
            var events: [Event.ID] = []
            for _ in 0..<4 {
                events.append(try await test.publish(account))
                test.clock.advance(by: 60)
            }
            try await test.report(try await test.claimWebhooks(), .answered(status: 200, wait: nil, hasChallenge: true))
            func replay(
                _ selection: EventLog.Selection, _ endpoint: WebhookEndpoint.ID? = nil, _ key: String? = nil
            ) async throws -> (EventLog.Replay, Set<String>) {
                let answer = try await test.gateway.events.replay(
                    account: account, selection, endpoint: endpoint, idempotencyKey: try key.map { try IdempotencyKey($0) }, now: test.now)
                let claimed = try await test.claimWebhooks()
                try await test.report(claimed, .answered(status: 200, wait: nil, hasChallenge: true))
                return (answer, Set(claimed.map { "\($0.endpoint == one ? 1 : 2) \(events.firstIndex(of: $0.event) ?? -1)" }))
            }
            let start = test.now.addingTimeInterval(-240)
            let range = EventLog.Selection.range(from: start.addingTimeInterval(60), before: start.addingTimeInterval(180), after: nil)
            let ids = try await replay(.ids([events[0], events[3], Event.ID.make(at: test.now, random: SystemRandom())]), two, "k")
            let again = try await replay(.ids([events[0], events[3], Event.ID.make(at: test.now, random: SystemRandom())].dropLast()), two)
            let times = try await replay(range)

            #expect(ids.1 == ["2 0", "2 3"] && ids.0.queued == 2 && ids.0.next == nil && !ids.0.replayed)
            #expect(again.0.queued == 2 && again.1.count == 2)
            #expect(times.1 == ["1 1", "1 2", "2 1", "2 2"] && times.0.queued == 4)
            let first = try await replay(range, one, "t")
            let second = try await replay(range, one, "t")
            #expect(first.0.queued == 2 && !first.0.replayed && second.0.queued == 2 && second.0.replayed && second.1.isEmpty)
            let refusal = await #expect(throws: AcceptFailure.self) { _ = try await replay(range, two, "t") }
            #expect(refusal?.code == .idempotencyKeyReused)
        }
    }

    @Test func `a long range is replayed piece by piece`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            _ = try await test.addWebhook(account)
            _ = try await test.owner.execute(
                "test.many",
                """
                INSERT INTO events (account_id, event_id, type, test, at)
                SELECT \(account), gateway_uuid7(\(test.now)), 'sender.ready', true, \(test.now) FROM generate_series(1, 7000)
                """)
            let from = test.now.addingTimeInterval(-60)
            let before = test.now.addingTimeInterval(60)
            let first = try await test.gateway.events.replay(account: account, .range(from: from, before: before, after: nil), now: test.now)
            let second = try await test.gateway.events.replay(account: account, .range(from: from, before: before, after: first.next), now: test.now)

            #expect(first.queued == 5_000 && first.next != nil && second.queued == 2_000 && second.next == nil)
            #expect(try await test.count("SELECT 1 AS one FROM event_queue WHERE state = 'pending'") == 7_000)
        }
    }

    @Test func `moving a partition's rows publishes nothing again`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            _ = try await test.addWebhook(account)
            _ = try await test.gateway.messages.accept(
                test.message(), caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now)
            let message = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: [])
            let before = try await test.count("SELECT 1 AS one FROM events")
            _ = try await test.owner.queryOne(
                "test.drop", "SELECT gateway_drop_partitions('message_events', \(test.now.addingTimeInterval(400 * 86_400))) AS gone",
                as: { try $0.column("gone", as: Int.self) })

            #expect(try await test.count("SELECT 1 AS one FROM message_events WHERE message_id = \(message.id)") == 1)
            #expect(try await test.count("SELECT 1 AS one FROM events") == before && before > 0)
        }
    }
}
