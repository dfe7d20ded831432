import Domain
import Foundation
import Glibc
import Postgres
import Proof

extension ProcessFault {
    /// Locks, plans and snapshots.
    static let databaseLocks: [ProcessFault] = [
        ProcessFault(
            name: "F73", injected: "somebody locks the table of messages and goes for coffee, under 20 messages/s",
            expected: "each request answered ≤ 6 s with 503 or 409; the idle one is put out after 10 s, then all is well"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), coffee) },
        ProcessFault(
            name: "F74", injected: "one of two nodes takes idempotency keys in the wrong order: deadlocks (120 keys at once at both, 20 rounds)",
            expected: "at most 3 tries inside, nothing of it outside"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), plan: { $0.databaseSettings["deadlock_timeout"] = "50ms" }, deadlocks) },
        ProcessFault(
            name: "F75", injected: "a migration that needs the table of messages for itself while a report reads it for 8 s, under 20 messages/s",
            expected: "it waits in short turns, no request takes longer than 3 s, and it gets there"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), migrationUnderLoad) },
        ProcessFault(
            name: "F78", injected: "a planner that joins by nested loops only, 240 messages that come due at once",
            expected: "no claim takes more than its limit of 64, none takes a message twice"
        ) { try await inWorld(nodes: 2, senders: 3, within: .seconds(120), plan: nestedLoops, claims) },
        ProcessFault(
            name: "F79", injected: "a snapshot that stays open while 3,000 messages go through",
            expected: "its age is a metric; a claim's time stays bounded"
        ) {
            try await inWorld(
                nodes: 1, senders: 2, settings: ["GATEWAY_SERVER_METRICS_LISTEN": "127.0.0.1:\(try LoopbackPort.free())"], within: .seconds(120),
                oldSnapshot)
        },
    ]

    private static func coffee(_ world: World) async throws -> Seen {
        let stranger = Stranger(in: world)
        var reading = Caller(world)
        (reading.patience, reading.limit) = (12, .milliseconds(1))
        let reader = reading
        let (from, isOut) = try await world.underLoad(perSecond: 20, patience: 12) {
            try await ContinuousClock().sleep(for: .seconds(1))
            let from = ContinuousClock.now
            try await stranger.say("BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            for _ in 0..<4 {
                // A reader, too.
                _ = try? await reader.call("GET", "/v1/messages")
                try await ContinuousClock().sleep(for: .milliseconds(500))
            }
            try await ContinuousClock().sleep(until: from + .seconds(14))
            let left = try await world.database.ask(
                "proof.idle", "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'stranger' AND state = 'idle in transaction'"
            ) { try $0.column("n", as: Int.self) }
            return (from, left == [0])
        }
        await stranger.leave()
        let span = world.tries.began(since: from)
        let back = span.firstGood(after: from + .seconds(1)) ?? .seconds(99)
        let during = world.tries.began(since: from + .milliseconds(200), until: from + .seconds(5))
        return Seen(
            isOK: isOut && span.others(than: [503, 409]) == 0 && span.slowest <= .seconds(6) && back <= .seconds(12) && during.count(202) == 0
                && during.tries.count > 0,
            what:
                "\(span.description); the idle one was \(isOut ? "put out" : "NOT put out"), the first 202 after \(tenths(back / .seconds(1) + 1)) s")
    }

    // MARK: Deadlocks

    private static func deadlocks(_ world: World) async throws -> Seen {
        // The world's node has everything in order; the other one is made here.
        let edits = [
            SabotageCase.Edit(
                statement: "messages.accept", find: "ORDER BY input.account_id, input.key_index",
                replace: "ORDER BY input.account_id DESC, input.key_index DESC")
        ]
        let path = world.directory + "/wrong-order.json"
        try JSONEncoder().encode(edits).write(to: URL(fileURLWithPath: path))
        let home = world.directory + "/twin"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        let twin = GatewayProcess(
            binary: World.binary, dataDirectory: home, port: try LoopbackPort.free(), simulator: world.simulator.webSocketURL,
            settings: try world.nodeSettings)
        try await twin.start(roles: "api", environment: ["SABOTAGE_SQL": path])
        do {
            let seen = try await deadlocks(world, twin)
            await twin.stop()
            return seen
        } catch {
            await twin.stop()
            throw error
        }
    }

    private static func deadlocks(_ world: World, _ twin: GatewayProcess) async throws -> Seen {
        let start = ContinuousClock.now
        for round in 0..<20 {
            let posts = (0..<120).map { (nonce: "deadlock-\(round)-\($0)", number: world.anyRecipient()) }
            for post in posts { world.ledger.add(Ledger.Entry(nonce: post.nonce, number: post.number, end: .shown)) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in [world.nodes[0], twin] {
                    for post in posts {
                        group.addTask {
                            let begin = ContinuousClock.now
                            let json = #"{"to":"+\#(post.number)","type":"text","text":{"body":"\#(post.nonce)"},"reference":"\#(post.nonce)"}"#
                            let answer = try await HTTP.request(
                                "POST", node.baseURL + "/v1/messages", key: world.key, idempotencyKey: post.nonce, json: json)
                            world.answers.count(answer.status)
                            world.tries.add(
                                Tries.Try(status: answer.status, retryAfter: answer.retryAfter, began: begin, took: ContinuousClock.now - begin))
                            if let id = answer.body["id"] as? String { world.ledger.change(post.nonce) { $0.id = id } }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        let span = world.tries.began(since: start)
        let count =
            try await world.database.ask(
                "proof.deadlocks", "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            ) { try $0.column("deadlocks", as: Int.self) }.first ?? 0
        return Seen(
            isOK: count > 0 && span.others(than: []) == 0 && span.count(202) == 4_800,
            what: "\(count) deadlocks; \(span.description)")
    }

    // MARK: Migration

    private static func migrationUnderLoad(_ world: World) async throws -> Seen {
        let next = Migration(
            version: (Migrations.all.map(\.version).max() ?? 0) + 1, name: "next", sql: "ALTER TABLE messages ADD COLUMN next_version_field text")
        let migrator = Migrator(database: world.database.admin, migrations: Migrations.all + [next])
        let start = ContinuousClock.now
        let (took, isBlocked) = try await world.underLoad(perSecond: 20, patience: 12) {
            try await ContinuousClock().sleep(for: .seconds(1))
            return try await Stranger.with(world) { report in
                try await report.say("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM messages")
                let begin = ContinuousClock.now
                async let applied = migrator.migrate(deadline: .seconds(60))
                // Not idle, so that nobody puts it out.
                try await report.say("SELECT pg_sleep(8)")
                let isBlocked =
                    try await world.database.ask(
                        "proof.migrated", "SELECT count(*) AS rows FROM gateway_migrations WHERE version = \(next.version)"
                    ) { try $0.column("rows", as: Int.self) } == [0]
                try await report.say("COMMIT")
                guard try await applied.count == 1 else { throw ProofFailure("the migration was not applied") }
                let took = ContinuousClock.now - begin
                try await ContinuousClock().sleep(for: .seconds(2))
                return (took, isBlocked)
            }
        }
        let span = world.tries.began(since: start)
        return Seen(
            isOK: isBlocked && span.slowest <= .seconds(3) && span.others(than: []) == 0,
            what:
                "\(span.description); the migration took \(tenths(took / .seconds(1))) s, \(isBlocked ? "behind the report" : "NOT behind the report")"
        )
    }

    // MARK: Plans

    private static func nestedLoops(_ plan: inout World.Plan) {
        for name in ["hashjoin", "mergejoin", "hashagg", "material", "memoize", "bitmapscan"] { plan.databaseSettings["enable_\(name)"] = "off" }
    }

    private static func claims(_ world: World) async throws -> Seen {
        for statement in claimWatch { try await world.database.admin.execute("proof.claims", SQL(unescaped: statement)) }
        // All of them come due at once.
        let due = Date(timeIntervalSinceNow: 8).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<30 { try await Caller(world).post(world.anyRecipient(), more: #","send_at":"\#(due)""#) } }
            }
            try await group.waitForAll()
        }
        _ = try await world.reckon(world.ledger.all.map(\.nonce), within: .seconds(60))
        let found = try await world.database.ask(
            "proof.claimed", "SELECT count(*) AS statements, coalesce(sum(n), 0)::bigint AS messages, coalesce(max(n), 0) AS most FROM proof_claims"
        ) {
            (
                statements: try $0.column("statements", as: Int.self), messages: try $0.column("messages", as: Int.self),
                most: try $0.column("most", as: Int.self)
            )
        }
        guard let seen = found.first else { throw ProofFailure("nothing was counted") }
        let posted = world.ledger.count
        return Seen(
            isOK: seen.most <= 64 && seen.most > 16 && seen.messages >= posted,
            what: "\(posted) messages claimed \(seen.messages) times by \(seen.statements) statements, at most \(seen.most) at once")
    }

    /// Counts what each statement claims.
    private static let claimWatch = [
        "CREATE TABLE proof_claims (n bigint NOT NULL)",
        """
        CREATE FUNCTION proof_count_claims() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
        BEGIN
            INSERT INTO proof_claims
            SELECT count(*) FROM after_rows a JOIN before_rows b USING (account_id, message_id)
            WHERE a.state = 'prepared' AND b.state = 'accepted'
            HAVING count(*) > 0;
            RETURN NULL;
        END $$
        """,
        """
        CREATE TRIGGER proof_count_claims AFTER UPDATE ON outbox REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
        FOR EACH STATEMENT EXECUTE FUNCTION proof_count_claims()
        """,
    ]

    // MARK: Snapshots

    private static func oldSnapshot(_ world: World) async throws -> Seen {
        let caller = Caller(world)
        try await world.traffic(80, patience: 8)
        _ = try await world.reckon(world.ledger.all.map(\.nonce), within: .seconds(30))
        let before = try await caller.p95(of: 30)
        let metric = "gateway_database_snapshot_age_transactions"
        let fresh = try await world.metric(metric)
        let (during, age) = try await Stranger.with(world) { report in
            async let sleeping: Void = report.say(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM messages; SELECT pg_sleep(600)", within: .seconds(700))
            for _ in 0..<6 { try await world.traffic(500, patience: 8) }
            _ = try await world.reckon(world.ledger.all.map(\.nonce), within: .seconds(60))
            let during = try await caller.p95(of: 30)
            // What it tells is good for five seconds.
            try await ContinuousClock().sleep(for: .seconds(6))
            let age = try await world.metric(metric)
            let stopped = try await world.database.ask(
                "proof.wake",
                "SELECT count(pg_cancel_backend(pid)) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
            ) { try $0.column("n", as: Int.self) }
            do { try await sleeping } catch {}
            return (during, stopped.first == 1 ? age : nil)
        }
        try await ContinuousClock().sleep(for: .seconds(6))
        let after = try await world.metric(metric)
        let isBounded = during <= before * 3 + .milliseconds(250)
        return Seen(
            isOK: (age ?? 0) > 500 && (fresh ?? 1e9) < 500 && (after ?? 1e9) < 500 && isBounded,
            what:
                "age \(fresh.map { "\(Int($0))" } ?? "NOT TOLD") → \(age.map { "\(Int($0))" } ?? "NOT TOLD") → \(after.map { "\(Int($0))" } ?? "NOT TOLD") "
                + "transactions; p95 from post to shown \(Int(before / .milliseconds(1))) → \(Int(during / .milliseconds(1))) ms")
    }
}

extension World {
    /// What the first node exports under this name; nil: nothing.
    func metric(_ name: String) async throws -> Double? {
        guard let address = plan.settings["GATEWAY_SERVER_METRICS_LISTEN"], let port = address.split(separator: ":").last.flatMap({ Int($0) }) else {
            return nil
        }
        let answer = try await HTTPConnection.with(port: port) { try await $0.send(.GET, "/metrics") }
        let lines = String(decoding: answer.body.readableBytesView, as: UTF8.self).split(separator: "\n")
        return lines.first { $0.hasPrefix(name + " ") }.flatMap { Double($0.dropFirst(name.count + 1)) }
    }
}
