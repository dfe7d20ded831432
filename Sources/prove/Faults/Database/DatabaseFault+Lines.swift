import Foundation
import Glibc
import Postgres
import Proof
import Synchronization

extension ProcessFault {
    /// A line between gateway and server that is bad.
    static let databaseLines: [ProcessFault] = [
        ProcessFault(
            name: "F71", injected: "every connection to the server goes silent, new ones work; later all of them for 15 s; under 20 messages/s",
            expected: "requests end ≤ 9 s with 503, then all is well without a restart; no lease lost"
        ) {
            try await inWorld(
                nodes: 1, senders: 2, settings: ["GATEWAY_DELIVERY_ACK_TIMEOUT_SECONDS": "8"], within: .seconds(150), plan: proxied, halfOpen)
        },
        ProcessFault(
            name: "F72", injected: "500 ms each way between gateway and server for 45 s (leases of 30 s), 2 messages/s",
            expected: "slower, but accepted and sent; every lease renewed"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(150), plan: proxied, late) },
        ProcessFault(
            name: "F76", injected: "pgbouncer in transaction mode, 3 server connections a login, two accounts, a PostgreSQL restart",
            expected: "works; nothing of a session is left behind, no account sees another's rows"
        ) { try await inWorld(nodes: 2, senders: 2, within: .seconds(120), plan: { $0.front = .pooler }, pooled) },
        ProcessFault(
            name: "F77", injected: "the connection of LISTEN goes silent", expected: "found by polling ≤ 1 s"
        ) { try await inWorld(nodes: 1, senders: 1, plan: { $0.front = .proxy }, deafListener) },
    ]

    private static func proxied(_ plan: inout World.Plan) {
        plan.front = .proxy
        plan.hasShortLeases = false
    }

    private static func halfOpen(_ world: World) async throws -> Seen {
        let line = try world.front.line
        let leases = try await world.leases()
        let (first, second, healed) = try await world.underLoad(perSecond: 20, patience: 12) {
            try await ContinuousClock().sleep(for: .seconds(2))
            let first = ContinuousClock.now
            line.silenceOpen()
            try await ContinuousClock().sleep(for: .seconds(12))
            let second = ContinuousClock.now
            line.set(.silent)
            try await ContinuousClock().sleep(for: .seconds(15))
            line.set(.good)
            let healed = ContinuousClock.now
            _ = try await world.waitForGood(after: healed, within: .seconds(60))
            try await ContinuousClock().sleep(for: .seconds(12))
            return (first, second, healed)
        }
        let mark = ContinuousClock.now
        try await world.traffic(80, patience: 8)
        let after = world.tries.began(since: mark)
        let end = try await world.leases()
        let moved = leases.count { end[$0.key]?.epoch != $0.value.epoch }
        let one = world.tries.began(since: first, until: second)
        let two = world.tries.began(since: second, until: healed)
        let late = world.tries.began(since: first + .seconds(8), until: second - .seconds(1))
        let back = world.tries.began(since: second).firstGood(after: healed) ?? .seconds(99)
        let limit = Duration.seconds(9)
        return Seen(
            isOK: one.slowest <= limit && two.slowest <= limit && late.others(than: []) == 0 && one.others(than: [503]) == 0 && two.vague == 0
                && two.others(than: [503]) == 0 && back <= .seconds(10) && after.others(than: []) == 0 && after.p95 < .seconds(1) && moved == 0,
            what: "open ones silent: \(one.description), after 8 s \(late.others(than: [])) not accepted; all silent: \(two.description); accepted "
                + "\(tenths(back / .seconds(1))) s after the line was good; then \(after.description); \(moved) of \(leases.count) leases changed hands"
        )
    }

    private static func late(_ world: World) async throws -> Seen {
        let line = try world.front.line
        let before = try await world.leases()
        let usual = ContinuousClock.now
        try await world.underLoad(perSecond: 2, patience: 20) { try await ContinuousClock().sleep(for: .seconds(5)) }
        let quick = world.tries.began(since: usual)
        line.set(.late(.milliseconds(500)))
        let start = ContinuousClock.now
        let shown = world.simulator.counters.shown
        let more = try await world.underLoad(perSecond: 2, patience: 20) {
            try await ContinuousClock().sleep(for: .seconds(45))
            return world.simulator.counters.shown - shown
        }
        let slow = world.tries.began(since: start)
        let ready = try await HTTP.request("GET", world.nodes[0].baseURL + "/readyz").status
        line.set(.good)
        let after = try await world.leases()
        let moved = before.count { after[$0.key]?.epoch != $0.value.epoch }
        return Seen(
            isOK: moved == 0 && !before.isEmpty && slow.count(202) > 40 && slow.others(than: [503]) == 0 && slow.count(503) * 20 <= slow.tries.count
                && more > 0 && ready == 200 && slow.p95 > quick.p95 * 5,
            what:
                "p95 \(tenths(quick.p95 / .seconds(1))) → \(tenths(slow.p95 / .seconds(1))) s; \(slow.description); \(more) copies shown meanwhile; "
                + "/readyz \(ready); \(moved) of \(before.count) leases changed hands")
    }

    private static func pooled(_ world: World) async throws -> Seen {
        let other = try await world.otherAccount()
        // Whoever comes next through the pooler finds nothing of whoever was there before.
        let left = Counter()
        let looks = Counter()
        let watch = Ending()
        let strangers = ["gateway_api", "gateway_engine"].map { Stranger(in: world, address: world.front.address($0)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for stranger in strangers {
                group.addTask {
                    while !watch.isSet {
                        let found = try? await stranger.ask(
                            """
                            SELECT coalesce(current_setting('gateway.accounts', true), '') <> '' OR current_setting('lock_timeout') <> '0' AS left,
                                (SELECT count(*) FROM messages) AS rows
                            """
                        ) { (isLeft: try $0.column("left", as: Bool.self), rows: try $0.column("rows", as: Int.self)) }
                        for row in found ?? [] {
                            _ = looks.next()
                            if row.isLeft || row.rows > 0 { _ = left.next() }
                        }
                        try await ContinuousClock().sleep(for: .milliseconds(5))
                    }
                }
            }
            group.addTask {
                defer { watch.set() }
                try await world.underLoad(perSecond: 40, patience: 8) {
                    for _ in 0..<20 { try await other.post(world.anyRecipient()) }
                    try await ContinuousClock().sleep(for: .seconds(3))
                    try world.database.kill()
                    try await world.database.restart()
                    try await ContinuousClock().sleep(for: .seconds(5))
                    for _ in 0..<20 { try await other.post(world.anyRecipient()) }
                }
            }
            try await group.waitForAll()
        }
        for stranger in strangers { await stranger.leave() }
        let locks =
            try await world.database.ask(
                "proof.advisory", "SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory'"
            ) { try $0.column("locks", as: Int.self) }.first ?? -1
        let servers = try await world.database.ask(
            "proof.servers",
            "SELECT usename::text AS login, count(*) AS servers FROM pg_stat_activity WHERE usename IN ('gateway_api', 'gateway_engine') GROUP BY usename"
        ) { try $0.column("servers", as: Int.self) }
        // The control: through this very pooler a setting for the session does reach whoever comes next.
        let isSeen = try await leavesSomething(world)
        let foreign = try await other.foreignMessages()
        return Seen(
            isOK: left.count == 0 && looks.count > 200 && locks == 0 && servers.allSatisfy { $0 <= 3 + world.nodes.count } && isSeen && foreign == 0,
            what:
                "\(looks.count) looks by other clients, \(left.count) found something left (control: \(isSeen ? "a session's setting is found" : "NOT FOUND")); "
                + "session locks \(locks), server connections a login \(servers) with one a node for LISTEN, messages of the other account seen \(foreign); "
                + "\(world.answers.serverErrors) × 5xx")
    }

    private static func leavesSomething(_ world: World) async throws -> Bool {
        let one = Stranger(in: world, address: world.front.address("gateway_cron"))
        try await one.say("SET application_name = 'left behind'")
        let other = Stranger(in: world, address: world.front.address("gateway_cron"))
        var isSeen = false
        for _ in 0..<50 where !isSeen {
            try await one.say("SET lock_timeout = '777s'")
            isSeen =
                try await other.ask("SELECT current_setting('lock_timeout') = '777s' AS seen") { try $0.column("seen", as: Bool.self) }.first ?? false
        }
        for stranger in [one, other] {
            for _ in 0..<20 { try? await stranger.say("RESET ALL") }
            await stranger.leave()
        }
        return isSeen
    }

    private static func deafListener(_ world: World) async throws -> Seen {
        let caller = Caller(world)
        let before = try await caller.p95(of: 20)
        try world.front.other.silenceOpen()
        // Not at once: hints that were on their way are not what is looked at.
        try await ContinuousClock().sleep(for: .seconds(3))
        let during = try await caller.p95(of: 20)
        let open = try world.front.other.open
        return Seen(
            isOK: during <= before + .milliseconds(1_100) && open > 0,
            what: "p95 from post to shown \(Int(before / .milliseconds(1))) ms with hints, \(Int(during / .milliseconds(1))) ms without")
    }
}

extension Caller {
    private struct Found: Decodable {
        struct Message: Decodable { var reference: String? }
        var data: [Message]
    }

    /// How many of the newest messages that this key sees were posted by somebody else's key. Its own were posted by this caller.
    func foreignMessages() async throws -> Int {
        let node = world.nodes.first { $0.processID != nil } ?? world.nodes[0]
        let mine = try await HTTPConnection.with(port: node.port, key: key) {
            try await $0.send(.GET, "/v1/messages?limit=200").decoded(as: Found.self)
        }
        let theirs = try await HTTPConnection.with(port: node.port, key: world.key) {
            try await $0.send(.GET, "/v1/messages?limit=200").decoded(as: Found.self)
        }
        let known = Set(theirs.data.compactMap(\.reference))
        guard !mine.data.isEmpty, !known.isEmpty else { throw ProofFailure("an account sees none of its messages") }
        return mine.data.count { message in message.reference.map(known.contains) ?? true }
    }
}
