@testable import Domain
import Foundation
import Postgres
import Primitives
import TestSupport
import Testing

@Suite struct WebhookWorkTests {
    @Test func `a delivery is tried ten times over 75 hours with one id, then it is dead, and a replay makes it young again`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            let event = try await test.publish(account)
            let start = test.now
            var moments: [TimeInterval] = []
            var events: Set<Event.ID> = []
            // Every other try by a process that has just started: the schedule stands in the row.
            while let claimed = try await test.claimWebhooks().first {
                moments.append(test.now.timeIntervalSince(start))
                events.insert(claimed.event)
                try await test.report([claimed], .answered(status: 500, wait: nil, hasChallenge: true))
                guard let next = try await test.deliveries(id, account).first?.nextAt else { break }
                test.clock.advance(by: next.timeIntervalSince(test.now) - 1)
                #expect(try await test.claimWebhooks().isEmpty)
                test.clock.advance(by: 1.001)
            }
            let gaps = zip(moments, moments.dropFirst()).map { $1 - $0 }

            #expect(moments.count == 10 && events == [event])
            #expect(zip(gaps, WebhookSchedule.delays).allSatisfy { (($1 - 0.1)...($1 * 1.2 + 0.1)).contains($0) }, "\(gaps)")
            let dead = try #require(try await test.deliveries(id, account).first)
            #expect(dead.state == .dead && dead.attempts.count == 10 && dead.attempts.map(\.number) == Array(1...10) && dead.nextAt == nil)
            #expect(dead.attempts.allSatisfy { $0.status == 500 && $0.code == nil && $0.duration == 12 })
            // The endpoint is left alone after so many failures; a test ends that.
            #expect(try await test.gateway.events.replay(account: account, .ids([event]), now: test.now).queued == 1)
            #expect(try await test.claimWebhooks().isEmpty)
            _ = try await test.gateway.webhooks.test(id, account: account, now: test.now)
            try await test.report(
                try await test.claimWebhooks().filter { $0.type == .endpointTest }, .answered(status: 200, wait: nil, hasChallenge: true))
            test.clock.advance(by: 61)
            let replay = try await test.gateway.events.replay(account: account, .ids([event]), now: test.now)
            let again = try #require(try await test.claimWebhooks().first)
            try await test.report([again], .answered(status: 201, wait: nil, hasChallenge: true))
            #expect(replay.queued == 1 && again.event == event)
            let done = try #require(try await test.deliveries(id, account).first { $0.event == event })
            #expect(done.state == .delivered && done.attempts.count == 11 && done.attempts.last?.status == 201)
        }
    }

    @Test func `a claim whose node is gone is claimed again with the same id, and what the first one says later does no harm`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            let event = try await test.publish(account)
            let first = try #require(try await test.claimWebhooks().first)
            #expect(try await test.claimWebhooks().isEmpty)
            test.clock.advance(by: 60)
            let second = try #require(try await test.claimWebhooks().first)
            try await test.report([first], .failed(code: "timeout"))

            #expect(first.event == event && second.event == event && first.body == second.body)
            // The late failure was noted, but the second claim still holds.
            #expect(try await test.claimWebhooks().isEmpty)
            #expect(try await test.deliveries(id, account).first?.state == .pending)
            try await test.report([second], .answered(status: 200, wait: nil, hasChallenge: true))
            try await test.report([first], .failed(code: "timeout"))
            #expect(try await test.deliveries(id, account).first?.state == .delivered)
        }
    }

    @Test func `a late success ends what another node has claimed meanwhile`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            _ = try await test.publish(account)
            let first = try await test.claimWebhooks()
            test.clock.advance(by: 60)
            let second = try await test.claimWebhooks()
            try await test.report(first, .answered(status: 200, wait: nil, hasChallenge: true))
            try await test.report(second, .released)

            #expect(second.count == 1)
            #expect(try await test.deliveries(id, account).first?.state == .delivered)
            #expect(try await test.claimWebhooks().isEmpty)
        }
    }

    @Test func `what is given back is due at once and costs no try`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            _ = try await test.publish(account)
            for _ in 0..<15 { try await test.report(try await test.claimWebhooks(), .released) }
            let claimed = try #require(try await test.claimWebhooks().first)
            #expect(claimed.tries == 1 && claimed.attempt == 16)
            #expect(try await test.deliveries(id, account).first?.attempts.isEmpty == true)
        }
    }

    @Test func `an endpoint has no more at once than it may, whoever asks`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            for _ in 0..<20 { _ = try await test.publish(account) }
            let claims = try await withThrowingTaskGroup(of: [ClaimedDelivery].self) { group in
                for _ in 0..<6 { group.addTask { try await test.claimWebhooks(concurrency: 8) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            let more = try await test.claimWebhooks(concurrency: 8)
            #expect(claims.count + more.count == 8)
            #expect(Set((claims + more).map(\.event)).count == 8)
            try await test.report(Array((claims + more).prefix(3)), .answered(status: 200, wait: nil, hasChallenge: true))
            #expect(try await test.claimWebhooks(concurrency: 8).count == 3)
            #expect(try await test.deliveries(id, account).count { $0.state == .delivered } == 3)
        }
    }

    @Test func `an endpoint that keeps failing gets one request at a time with growing pauses, and all of them once it is well`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            for _ in 0..<20 { _ = try await test.publish(account) }
            try await test.report(try await test.claimWebhooks(concurrency: 8), .failed(code: "unreachable"))
            let failing = try await test.gateway.webhooks.get(id, account: account)?.failingSince
            // Eight failures: the fourth pause.
            test.clock.advance(by: 239)
            #expect(try await test.claimWebhooks(concurrency: 8).isEmpty)
            test.clock.advance(by: 1)
            let probe = try await test.claimWebhooks(concurrency: 8)
            #expect(try await test.claimWebhooks(concurrency: 8).isEmpty)
            try await test.report(probe, .answered(status: 200, wait: nil, hasChallenge: true))

            #expect(probe.count == 1 && failing != nil)
            #expect(try await test.gateway.webhooks.get(id, account: account)?.failingSince == nil)
            #expect(try await test.claimWebhooks(concurrency: 8).count == 8)
        }
    }

    @Test func `429 and 503 with Retry-After hold the whole endpoint up, and no other`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let busy = try await test.addWebhook(account)
            let other = try await test.addWebhook(account)
            _ = try await test.publish(account)
            let first = try await test.claimWebhooks()
            try await test.report(first.filter { $0.endpoint == busy }, .answered(status: 429, wait: 600, hasChallenge: true))
            try await test.report(first.filter { $0.endpoint == other }, .answered(status: 500, wait: 600, hasChallenge: true))
            _ = try await test.publish(account)
            let second = try await test.claimWebhooks()
            try await test.report(second, .answered(status: 200, wait: nil, hasChallenge: true))
            test.clock.advance(by: 599)
            #expect(try await test.claimWebhooks().isEmpty)
            test.clock.advance(by: 1)
            let third = try await test.claimWebhooks()

            #expect(second.map(\.endpoint) == [other])
            #expect(third.count { $0.endpoint == busy } == 2 && third.count { $0.endpoint == other } == 1)
        }
    }

    @Test func `410 disables, kills what waits, and the account is told`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let gone = try await test.addWebhook(account)
            let other = try await test.addWebhook(account)
            for _ in 0..<5 { _ = try await test.publish(account) }
            let claimed = try await test.claimWebhooks(concurrency: 1).filter { $0.endpoint == gone }
            try await test.report(claimed, .answered(status: 410, wait: nil, hasChallenge: true))
            while try await test.gateway.webhooks.settle(now: test.now) > 0 {}
            let endpoint = try await test.gateway.webhooks.get(gone, account: account)
            test.clock.advance(by: 60)
            let told = try await test.claimWebhooks()

            #expect(endpoint?.state == .disabled && endpoint?.disabledReason == .gone && endpoint?.failingSince == nil)
            #expect(try await test.deliveries(gone, account).allSatisfy { $0.state == .dead })
            #expect(told.allSatisfy { $0.endpoint == other })
            let notice = try test.json(try #require(told.first { $0.type == .endpointDisabled }).body)
            let data = notice["data"] as? [String: Any]
            #expect(
                data?["endpoint"] as? String == gone.description && data?["code"] as? String == "gone" && data?["status"] as? String == "disabled")
        }
    }

    @Test func `after an hour and a day of failing the account is told, after five days the endpoint is disabled`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            let start = test.now
            var told: [(type: String, hours: Double)] = []
            while try await test.gateway.webhooks.get(id, account: account)?.state == .enabled {
                _ = try await test.publish(account)
                try await test.report(try await test.claimWebhooks(concurrency: 1), .answered(status: 500, wait: nil, hasChallenge: true))
                test.clock.advance(by: 1_800)
                let hours = test.now.timeIntervalSince(start) / 3_600
                guard hours < 130 else { throw TestFailure("it is still enabled after \(hours) hours") }
            }
            for event in try await test.gateway.events.pull(account: account, limit: 200, now: test.now).events { told.append((event.type, 0)) }
            let notices = try await test.owner.query(
                "test.notices", "SELECT type, at FROM events WHERE type LIKE 'webhook_endpoint.%' ORDER BY at"
            ) { (type: try $0.column("type", as: String.self), hours: try $0.column("at", as: Date.self).timeIntervalSince(start) / 3_600) }

            #expect(notices.map(\.type) == ["webhook_endpoint.failing", "webhook_endpoint.failing", "webhook_endpoint.disabled"])
            #expect(zip(notices.map(\.hours), [1.0, 24, 120]).allSatisfy { ($1...($1 + 1)).contains($0) }, "\(notices)")
            #expect(try await test.gateway.webhooks.get(id, account: account)?.disabledReason == .failing)
            #expect(!told.isEmpty)
        }
    }

    @Test func `a backlog of one endpoint neither hides nor slows the look for others`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let (other, _, _) = try await test.makeReadySender()
            let dead = try await test.addWebhook(account)
            let well = try await test.addWebhook(other)
            _ = try await test.owner.execute(
                "test.backlog",
                """
                INSERT INTO event_queue (account_id, endpoint_id, event_id, type, due_at, created_at)
                SELECT \(account), \(dead), gen_random_uuid(), 'message.sent', \(test.now.addingTimeInterval(-10)), \(test.now) FROM generate_series(1, 100000)
                """)
            _ = try await test.publish(other)
            var position: EndpointPlace?
            let due = try await test.gateway.webhooks.due(from: &position, now: test.now)
            // Not by the clock, which says what else the machine has to do: by the rows that the database read.
            let read = try await test.gateway.databases.engine.transaction { transaction in
                _ = try await transaction.query(
                    "test.due", "SELECT ready FROM gateway_due_endpoints(\(UUID(bytes: [])), \(UUID(bytes: [])), \(test.now), 500::int4)",
                    as: { _ in })
                return try await transaction.query(
                    "test.read",
                    "SELECT (idx_tup_fetch + seq_tup_read)::bigint AS read FROM pg_stat_xact_user_tables WHERE relname = 'event_queue'"
                ) { try $0.column("read", as: Int.self) }
            }
            let claimed = try await test.gateway.webhooks.claim(
                due.map { ($0, 8) }, concurrency: 8, now: test.now, deadline: test.now.addingTimeInterval(60))

            #expect(Set(due.map(\.endpoint)) == [dead, well] && position == nil)
            #expect(claimed.count { $0.endpoint == dead } == 8 && claimed.count { $0.endpoint == well } == 1)
            #expect(read.count == 1 && (2...20).contains(read[0]), "\(read)")
        }
    }

    @Test func `an endpoint whose row cannot be opened stops no other`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let broken = try await test.addWebhook(account)
            let well = try await test.addWebhook(account)
            _ = try await test.owner.execute(
                "test.break", "UPDATE webhook_endpoints SET url_sealed = secret_sealed WHERE endpoint_id = \(broken)")
            _ = try await test.publish(account)
            #expect(try await test.claimWebhooks().map(\.endpoint) == [well])
        }
    }

    @Test func `deliveries are kept for seven days after success and thirty when dead, secrets of rotations no longer than they sign`() async throws {
        try await withTestGateway { test in
            let account = try await test.gateway.accounts.create(name: "Toko", now: test.now).id
            let id = try await test.addWebhook(account)
            let done = try await test.publish(account)
            try await test.report(try await test.claimWebhooks(), .answered(status: 200, wait: nil, hasChallenge: true))
            let dead = try await test.publish(account)
            let claimed = try await test.claimWebhooks()
            try await test.report(claimed, .answered(status: 500, wait: nil, hasChallenge: true))
            _ = try await test.owner.execute(
                "test.dead", "UPDATE event_queue SET state = 'dead', finished_at = \(test.now) WHERE event_id = \(dead)")
            let stuck = try await test.publish(account)
            func seen() async throws -> Set<Event.ID> { Set(try await test.deliveries(id, account).map(\.event)).subtracting([stuck]) }
            func kept(_ event: Event.ID) async throws -> Bool {
                try await test.count("SELECT 1 AS one FROM event_queue WHERE event_id = \(event)") == 1
            }

            test.clock.advance(by: 7 * 86_400 - 60)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await seen().isSuperset(of: [done, dead]))
            test.clock.advance(by: 120)
            // Also without the cron nobody sees it any more.
            #expect(try await !seen().contains(done))
            #expect(try await kept(done))
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await !kept(done))
            #expect(try await test.count("SELECT 1 AS one FROM event_queue WHERE event_id = \(stuck) AND state = 'dead'") == 1)
            test.clock.advance(by: 23 * 86_400 - 240)
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await seen().contains(dead))
            test.clock.advance(by: 240)
            #expect(try await !seen().contains(dead))
            _ = try await test.gateway.retention.runHourly(now: test.now)
            #expect(try await !kept(dead))
            #expect(try await test.count("SELECT 1 AS one FROM events WHERE event_id = \(done)") == 0)
            #expect(try await test.count("SELECT 1 AS one FROM webhook_attempts t JOIN event_queue q USING (event_id) WHERE q.event_id IS NULL") == 0)
        }
    }

    @Test func `a closing account's late events are dropped, and nothing of its webhooks stays`() async throws {
        try await withTestGateway { test in
            let (account, _, owner) = try await test.makeReadySender()
            _ = try await test.addWebhook(account)
            _ = try await test.publish(account)
            let claimed = try await test.claimWebhooks()
            _ = try await test.gateway.messages.accept(
                test.message(), caller: Caller(account: account, isTest: true), idempotencyKey: nil, now: test.now)
            let message = try #require(try await test.claim(owner).first)
            try await test.gateway.outbox.preWire(message, owner: owner, now: test.now, writes: [])
            let before = try await test.count("SELECT 1 AS one FROM events")
            _ = try await test.gateway.closing.begin(account, patience: 0, now: test.now)
            // Between the first step and the last the receipt of what is on the wire arrives.
            _ = try await test.gateway.outbox.acknowledge(Acknowledged(message: message.id, owner: owner, wireID: message.wireID), now: test.now)
            #expect(try await test.count("SELECT 1 AS one FROM events") == before)
            #expect(try await test.claimWebhooks().isEmpty)
            let now = test.now
            _ = try await test.gateway.closing.close(account, patience: 0, pause: .zero, now: { now })
            try await test.report(claimed, .answered(status: 500, wait: nil, hasChallenge: true))

            #expect(claimed.count == 1)
            for table in ["event_subscribers", "events", "webhook_endpoints", "event_queue", "webhook_attempts", "event_replays"] {
                #expect(try await test.count("SELECT 1 AS one FROM \(unescaped: table)") == 0, "\(table)")
            }
        }
    }
}

extension TestGateway {
    /// An event of the account, of a test sender that needs not be there.
    func publish(_ account: Account.ID, type: String = "sender.ready", isTest: Bool = true) async throws -> Event.ID {
        let event = Event.ID.make(at: now, random: SystemRandom())
        _ = try await owner.query(
            "test.publish", "SELECT gateway_publish(\(account), \(event), \(type), \(isTest), NULL, NULL, NULL, \(now))", as: { _ in })
        return event
    }

    /// Without the verification.
    func deliveries(_ id: WebhookEndpoint.ID, _ account: Account.ID) async throws -> [WebhookDelivery] {
        try await gateway.webhooks.deliveries(id, account: account, page: PageRequest(limit: 200), now: now).data.filter {
            $0.type != EventType.endpointVerification.rawValue
        }
    }
}
