import Domain
import Foundation
import Glibc
import OutboundHTTP
import Postgres
import Primitives
import Proof

extension ProcessFault {
    /// What stands at the edge: webhooks.
    static let edge: [ProcessFault] = [
        ProcessFault(
            name: "F84",
            injected: "receivers that answer 500, 302, 410, 429 with Retry-After, never, a byte a second, without end, a gzip bomb, "
                + "with TLS that is none, or close",
            expected: "the schedule; 410 disables; 16 KiB read, 20 s in all; no redirect followed, no memory taken"
        ) { try await withHooks(badReceivers) },
        ProcessFault(
            name: "F85", injected: "the receiver takes the request and dies before its 200", expected: "sent again under the same webhook-id"
        ) { try await withHooks(dyingReceiver) },
        ProcessFault(
            name: "F86", injected: "kill -9 of the gateway after its POST, before it is written down",
            expected: "sent again under the same webhook-id, no event lost"
        ) { try await withHooks(killedInTheAct) },
        ProcessFault(
            name: "F86+", injected: "kill -9 of the gateway four times in the middle of 1,000 webhook deliveries of real messages",
            expected: "every event arrives at least once under one webhook-id, none is missing"
        ) { try await withHooks(killedInAThousand) },
        ProcessFault(
            name: "F87", injected: "one endpoint that hangs, with a backlog of 100,000; then one that has failed for 121 h",
            expected: "its 8 requests at a time; others' p95 within 10 % of before and a poll; disabled with a notice"
        ) { try await withHooks(backlog) },
        ProcessFault(
            name: "F88", injected: "a name that leads to an allowed address, then to a forbidden one where somebody listens, and back",
            expected: "no connection to the forbidden one; each request looks again"
        ) { try await rebinding() },
        ProcessFault(
            name: "F89", injected: "the secret is rotated between two tries of a delivery",
            expected: "the second try carries both signatures; the old secret's stops after the overlap"
        ) { try await withHooks(rotation) },
    ]

    private static func withHooks(_ body: @escaping @Sendable (HookStage) async throws -> Seen) async throws -> Seen {
        try await inWorld(nodes: 1, senders: 1, settings: HookStage.settings) { world in
            try await HookStage.with(world) { try await body($0) }
        }
    }

    // MARK: Receivers

    private static func badReceivers(_ stage: HookStage) async throws -> Seen {
        let node = stage.world.nodes[0]
        let cases: [(path: String, answer: HookAnswer, status: Int?, codes: Set<String>, next: ClosedRange<Double>)] = [
            ("/500", .status(500), 500, [], 4...8), ("/302", .status(302, headers: ["location": stage.url + "/redirected"]), 302, [], 4...8),
            ("/429", .status(429, headers: ["retry-after": "77"]), 429, [], 75...79), ("/hang", .hang, nil, ["timeout"], 4...8),
            ("/slow", .endless(isSlow: true), nil, ["timeout"], 4...8), ("/close", .close, nil, ["connection_lost"], 4...8),
        ]
        var ids: [String: String] = [:]
        let good: [(path: String, answer: HookAnswer)] = [
            ("/endless", .endless(isSlow: false)),
            ("/bomb", .status(200, headers: ["content-encoding": "gzip"], body: [0x1f, 0x8b, 8, 0] + [UInt8](repeating: 0, count: 1 << 20))),
        ]
        for path in cases.map(\.path) + good.map(\.path) + ["/410"] { ids[path] = try await stage.addEndpoint(path, events: ["sender.parked"]).id }
        for (path, answer) in cases.map({ ($0.path, $0.answer) }) + good { stage.behave(path) { _ in answer } }
        stage.behave("/410") { _ in .status(410) }
        // TLS is asked for where none is spoken.
        let noTLS = try await stage.call("POST", "/v1/webhook-endpoints", ["url": stage.url.replacing("http:", with: "https:") + "/tls"])
        let before = ProcessFigures(of: node.processID ?? 0)?.residentKiB ?? 0
        try await stage.publish()
        func first(_ path: String) async throws -> (attempt: [String: Any], delivery: [String: Any])? {
            let delivery = try await stage.deliveries(ids[path] ?? "").first { $0["type"] as? String == "sender.parked" }
            guard let delivery, let attempt = (delivery["attempts"] as? [[String: Any]])?.first else { return nil }
            return (attempt, delivery)
        }
        var wrong: [String] = []
        var seen: [String] = []
        for (path, _, status, codes, next) in cases {
            try await stage.wait("an attempt at \(path)") { try await first(path) != nil }
            guard let (attempt, delivery) = try await first(path) else { continue }
            let code = attempt["code"] as? String
            let took = attempt["duration_ms"] as? Int ?? 0
            let again = interval(attempt["at"], delivery["next_attempt_at"]).map { $0 - Double(took) / 1_000 }
            let count = (delivery["attempts"] as? [Any])?.count ?? 0
            let isRight =
                attempt["status"] as? Int == status && (codes.isEmpty || codes.contains(code ?? "")) && took <= 21_000
                && (count > 1 || again.map(next.contains) == true)
            if !isRight { wrong.append("\(path): \(attempt) next \(again ?? -1)") }
            seen.append("\(path.dropFirst()) \(status.map(String.init) ?? code ?? "?") in \(took) ms")
        }
        for (path, _) in good {
            try await stage.wait("\(path)") { try await first(path)?.delivery["status"] as? String == "delivered" }
            seen.append("\(path.dropFirst()) delivered")
        }
        try await stage.wait("the endpoint that is gone") { try await stage.status(ids["/410"] ?? "") == "disabled" }
        let gone = try await stage.call("GET", "/v1/webhook-endpoints/\(ids["/410"] ?? "")").body["disabled_reason"] as? String
        if gone != "gone" { wrong.append("410: \(gone ?? "")") }
        let tls = try await stage.deliveries(noTLS.body["id"] as? String ?? "").first?["attempts"] as? [[String: Any]]
        if tls?.first?["code"] as? String != "tls_failed" { wrong.append("TLS: \(tls ?? [])") }
        if !stage.got("/redirected").isEmpty { wrong.append("a redirect was followed") }
        let after = ProcessFigures(of: node.processID ?? 0)?.residentKiB ?? 0
        if after - before > 65_536 { wrong.append("memory") }
        return Seen(
            isOK: wrong.isEmpty,
            what: seen.joined(separator: ", ") + ", 410 disabled as gone, TLS tls_failed, redirects followed \(stage.got("/redirected").count), "
                + "memory \((after - before) / 1_024) MiB more" + (wrong.isEmpty ? "" : "; WRONG: " + wrong.joined(separator: "; ")))
    }

    private static func dyingReceiver(_ stage: HookStage) async throws -> Seen {
        _ = try await stage.addEndpoint("/dies", events: ["sender.parked"])
        stage.behave("/dies") { _ in .close }
        let event = try await stage.publish()
        try await stage.wait("the first request") { !stage.got("/dies").isEmpty }
        stage.behave("/dies") { _ in .status(200) }
        let died = stage.got("/dies").count
        try await stage.wait("the next request") { stage.got("/dies").count > died }
        let ids = Set(stage.got("/dies").map(\.request.id))
        return Seen(isOK: ids == [event], what: "\(stage.got("/dies").count) requests, \(ids.count) webhook-id")
    }

    private static func killedInTheAct(_ stage: HookStage) async throws -> Seen {
        let (id, _) = try await stage.addEndpoint("/act", events: ["sender.parked"])
        stage.behave("/act") { _ in .hang }
        let event = try await stage.publish()
        try await stage.wait("the request") { !stage.got("/act").isEmpty }
        await stage.world.nodes[0].kill()
        stage.behave("/act") { _ in .status(200) }
        let start = ContinuousClock.now
        try await stage.world.startAll()
        try await stage.wait("the request of the next process", for: .seconds(120)) { stage.got("/act").count > 1 }
        let took = ContinuousClock.now - start
        try await stage.wait("it to be written down") {
            try await stage.deliveries(id).contains { $0["event"] as? String == event && $0["status"] as? String == "delivered" }
        }
        let requests = stage.got("/act").map(\.request)
        return Seen(
            isOK: Set(requests.map(\.id)) == [event] && Set(requests.map(\.body)).count == 1,
            what:
                "\(requests.count) requests, \(Set(requests.map(\.id)).count) webhook-id, the second \(tenths(took / .seconds(1))) s after the start")
    }

    private static func killedInAThousand(_ stage: HookStage) async throws -> Seen {
        let types = ["message.sending", "message.sent", "message.delivered", "message.read"]
        let (id, _) = try await stage.addEndpoint("/thousand", events: types)
        stage.behave("/thousand") { _ in .status(204) }
        // More than are needed, since not every message is read at once; all of them while the gateway runs, then the deliveries are held up.
        let account = try Account.ID(text: stage.world.accountID)
        let endpoint = try WebhookEndpoint.ID(text: id)
        var count = 0
        var kills = 0
        while count < 1_000 {
            try await stage.world.traffic(60)
            count = try await events(account, endpoint, in: stage.world).count
            if kills < 4, count >= 200 * (kills + 1) {
                await stage.world.nodes[0].kill()
                kills += 1
                try await stage.world.startAll()
            }
        }
        // Once more while many wait, so that it is hit in the middle for sure.
        _ = try await stage.world.database.admin.execute(
            "proof.again",
            """
            UPDATE event_queue SET state = 'pending', due_at = clock_timestamp(), finished_at = NULL, tries = 0
            WHERE account_id = \(account) AND endpoint_id = \(endpoint) AND state = 'delivered'
            """)
        let mark = stage.got("/thousand").count
        try await stage.wait("the deliveries to be under way") { stage.got("/thousand").count >= mark + 300 }
        await stage.world.nodes[0].kill()
        let pending = try await events(account, endpoint, in: stage.world, " AND state = 'pending'").count
        kills += 1
        try await stage.world.startAll()
        try await stage.wait("all deliveries", for: .seconds(240)) {
            try await events(account, endpoint, in: stage.world, " AND state <> 'delivered'").isEmpty
        }
        let wanted = try await events(account, endpoint, in: stage.world)
        let arrived = stage.got("/thousand").map(\.request)
        let ids = Set(arrived.map(\.id))
        // One id means one event and one body, whatever was killed.
        let bodies = Dictionary(grouping: arrived, by: \.id).mapValues { Set($0.map(\.body)).count }
        let missing = wanted.subtracting(ids)
        let strange = ids.subtracting(wanted)
        return Seen(
            isOK: missing.isEmpty && strange.isEmpty && bodies.values.allSatisfy { $0 == 1 } && pending > 0 && wanted.count >= 1_000,
            what: "\(wanted.count) events, \(arrived.count) requests, \(kills) kills, \(pending) pending at the last one; missing \(missing.count), "
                + "of no event \(strange.count), ids with two bodies \(bodies.values.count { $0 > 1 })")
    }

    /// The events that were queued for an endpoint, verifications apart.
    private static func events(
        _ account: Account.ID, _ endpoint: WebhookEndpoint.ID, in world: World, _ condition: SQL = ""
    ) async throws -> Set<String> {
        Set(
            try await world.database.ask(
                "proof.events",
                """
                SELECT event_id FROM event_queue
                WHERE account_id = \(account) AND endpoint_id = \(endpoint) AND type LIKE 'message.%' \(condition)
                """
            ) { try $0.column("event_id", as: Event.ID.self).description })
    }

    // MARK: Neighbours

    private static func backlog(_ stage: HookStage) async throws -> Seen {
        let (_, _) = try await stage.addEndpoint("/well", events: ["sender.replaced"])
        let before = try await latencies(stage, 60)
        let (dead, _) = try await stage.addEndpoint("/dead", events: ["sender.parked"])
        stage.behave("/dead") { _ in .hang }
        let account = try Account.ID(text: stage.world.accountID)
        let endpoint = try WebhookEndpoint.ID(text: dead)
        for _ in 0..<10 {
            _ = try await stage.world.database.admin.execute(
                "proof.backlog",
                """
                WITH logged AS (
                    INSERT INTO events (account_id, event_id, type, test, at)
                    SELECT \(account), gateway_uuid7(clock_timestamp()), 'sender.parked', true, clock_timestamp() FROM generate_series(1, 10000)
                    RETURNING account_id, event_id, type, at
                )
                INSERT INTO event_queue (account_id, endpoint_id, event_id, type, due_at, created_at)
                SELECT account_id, \(endpoint), event_id, type, at, at FROM logged
                """, deadline: .seconds(60))
        }
        try await stage.wait("the dead endpoint to be tried") { stage.got("/dead").count >= 8 }
        let during = try await latencies(stage, 60)
        let atOnce = stage.got("/dead").count
        let p95 = (before: percentile95(before), during: percentile95(during))
        let isQuick = p95.during <= p95.before * 11 / 10 + .milliseconds(100)
        // Time passes: it has failed for five days.
        try await stage.wait("the failures to be noted") {
            try await stage.call("GET", "/v1/webhook-endpoints/\(dead)").body["failing_since"] is String
        }
        try await stage.world.database.tell(
            "proof.later",
            """
            UPDATE webhook_endpoints SET failing_since = clock_timestamp() - interval '121 hours', paused_until = '-infinity'
            WHERE endpoint_id = \(endpoint)
            """)
        stage.behave("/dead") { _ in .status(500) }
        try await stage.wait("it to be disabled", for: .seconds(180)) { try await stage.status(dead) == "disabled" }
        let notices = try await stage.call("GET", "/v1/events?types=webhook_endpoint.disabled").body["data"] as? [[String: Any]] ?? []
        return Seen(
            isOK: isQuick && atOnce <= 8 && notices.count == 1,
            what:
                "others' p95 \(milliseconds(p95.before)) ms before, \(milliseconds(p95.during)) ms with the backlog; \(atOnce) requests at the dead one; "
                + "disabled, \(notices.count) notice")
    }

    /// From the commit of an event to its arrival at `/well`, one event at a time.
    private static func latencies(_ stage: HookStage, _ count: Int) async throws -> [Duration] {
        var times: [Duration] = []
        for _ in 0..<count {
            let known = stage.got("/well").count
            let start = ContinuousClock.now
            try await stage.publish("sender.replaced")
            try await stage.wait("an event at the healthy endpoint") { stage.got("/well").count > known }
            if let arrival = stage.got("/well").last { times.append(arrival.at - start) }
        }
        return times
    }

    private static func percentile95(_ times: [Duration]) -> Duration {
        let times = times.sorted()
        return times.isEmpty ? .zero : times[min(times.count - 1, times.count * 95 / 100)]
    }

    private static func milliseconds(_ duration: Duration) -> Int { Int(duration / .milliseconds(1)) }

    // MARK: Names and secrets

    /// Answers in turn.
    private struct TurningResolver: HostResolver {
        let answers: [String]
        let turn: Counter

        func addresses(of host: String, until deadline: ContinuousClock.Instant) async throws(OutboundFailure) -> [IPAddress] {
            [answers[turn.next() % answers.count]].compactMap { IPAddress($0) }
        }
    }

    private static func rebinding() async throws -> Seen {
        let allowed = Counter()
        let forbidden = Counter()
        let good = try await HookReceiver.start { _ in
            _ = allowed.next()
            return .status(200)
        }
        let decoy = try await HookReceiver.start(host: "127.0.0.2", port: good.port) { _ in
            _ = forbidden.next()
            return .status(200)
        }
        let policy = EgressPolicy.allowing(networks: ["127.0.0.1/32"].compactMap { IPNetwork($0) }, schemes: [.http])
        let resolver = TurningResolver(answers: ["127.0.0.1", "127.0.0.2", "127.0.0.1", "10.0.0.1", "169.254.169.254"], turn: Counter())
        let client = try HTTPClient(.init(policy: policy, resolver: resolver, userAgent: "prove/1"))
        var codes: [String] = []
        for _ in 0..<10 {
            do throws(OutboundFailure) {
                let request = try OutboundRequest(.post, "http://turning.example:\(good.port)/", body: [1])
                codes.append("\(try await client.send(request).status)")
            } catch { codes.append(error.code.rawValue) }
        }
        await client.close(within: .zero)
        await decoy.stop()
        await good.stop()
        let wanted = ["200", "address_forbidden", "200", "address_forbidden", "address_forbidden"]
        return Seen(
            isOK: codes == wanted + wanted && forbidden.count == 0 && allowed.count == 4,
            what:
                "\(allowed.count) requests at the allowed address, \(forbidden.count) at the forbidden one; \(codes.prefix(5).joined(separator: ", "))"
        )
    }

    private static func rotation(_ stage: HookStage) async throws -> Seen {
        let (id, old) = try await stage.addEndpoint("/rotated", events: ["sender.parked"])
        stage.behave("/rotated") { _ in .status(500) }
        try await stage.publish()
        try await stage.wait("the first try") { !stage.got("/rotated").isEmpty }
        let rotated = try await stage.call("POST", "/v1/webhook-endpoints/\(id)/rotate-secret", ["overlap_seconds": 10])
        stage.behave("/rotated") { _ in .status(200) }
        try await stage.wait("the second try") { stage.got("/rotated").count > 1 }
        try await ContinuousClock().sleep(for: .seconds(11))
        try await stage.publish()
        try await stage.wait("an event after the overlap") { stage.got("/rotated").count > 2 }
        let new = rotated.body["secret"] as? String ?? ""
        let verdicts = stage.got("/rotated").map { [verifies($0.request, old), verifies($0.request, new)] }
        let first = stage.got("/rotated").map(\.request.id)
        return Seen(
            isOK: verdicts == [[true, false], [true, true], [false, true]] && first[0] == first[1],
            what: "old and new secret verify the first try: \(verdicts[0]), the second: \(verdicts[1]), an event after the overlap: \(verdicts[2])")
    }

    private static func verifies(_ request: HookRequest, _ secret: String) -> Bool {
        guard let key = Data(base64Encoded: String(secret.dropFirst(6))) else { return false }
        let signed = Array("\(request.id).\(request.headers["webhook-timestamp"] ?? "").".utf8) + request.body
        let expected = "v1," + Data(HMAC256.authenticate(signed, key: Array(key))).base64EncodedString()
        return (request.headers["webhook-signature"] ?? "").split(separator: " ").contains { $0 == expected }
    }

    /// Between two times of the API, in seconds.
    private static func interval(_ from: Any?, _ to: Any?) -> Double? {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        guard let from = (from as? String).flatMap(formatter.date(from:)), let to = (to as? String).flatMap(formatter.date(from:)) else { return nil }
        return to.timeIntervalSince(from)
    }
}
