import Foundation
import Glibc
import Postgres
import Proof

extension ProcessFault {
    /// `prove faults database`: reliability.md §3.3.
    static let database: [ProcessFault] = databaseDeaths + databaseRefusals + databaseLines + databaseLocks + databaseContents

    /// A server, or a part of it, that dies.
    private static let databaseDeaths: [ProcessFault] = [
        ProcessFault(
            name: "F64", injected: "kill -9 of the server process in the middle of an accept; then of any gateway's, 6 times under 30 messages/s",
            expected: "202 or 503 with Retry-After, never lost or doubled; well again ≤ 10 s after each"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), backendsDie) },
        ProcessFault(
            name: "F65", injected: "kill -9 of PostgreSQL's first process under 20 messages/s, started again after 5 s",
            expected: "503 with Retry-After within 2 s; no byte without its pre-wire; sends ≤ 10 s after it is back"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120)) { try await serverDies($0, SIGKILL, perSecond: 20, lanes: 32) } },
        ProcessFault(
            name: "F66", injected: "pg_ctl stop -m immediate (SIGQUIT) at up to 500 messages/s, started again after 5 s",
            expected: "as F65; every 202 has its message"
        ) { try await inWorld(nodes: 1, senders: 6, within: .seconds(240)) { try await serverDies($0, SIGQUIT, perSecond: 500, lanes: 64) } },
        ProcessFault(
            name: "F67",
            injected: "failover to a standby that lags (host=A,B target_session_attrs=read-write); then the old primary comes back as it was",
            expected: "nothing older than the lag is lost; the old primary is refused"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), plan: { $0.front = .pair }, Failover.run) },
    ]

    private static func backendsDie(_ world: World) async throws -> Seen {
        // The middle of an accept: it waits for a lock that a stranger holds.
        let start = ContinuousClock.now
        var caller = Caller(world)
        caller.patience = 8
        let patient = caller
        let isHit = try await Stranger.with(world) { stranger in
            try await stranger.say("BEGIN; LOCK TABLE idempotency IN ACCESS EXCLUSIVE MODE")
            async let posted = patient.post(world.anyRecipient())
            let isHit = try await world.killBackend("application_name = 'gateway-api' AND wait_event_type = 'Lock'", within: .milliseconds(1_800))
            _ = try await posted
            return isHit
        }
        let recoveries = try await world.underLoad(perSecond: 30, patience: 8) {
            var recoveries: [Duration] = []
            for _ in 0..<6 {
                try await ContinuousClock().sleep(for: .seconds(2))
                let moment = ContinuousClock.now
                guard try await world.killBackend("application_name LIKE 'gateway-%'", within: .seconds(10)) else { continue }
                recoveries.append(try await world.waitForGood(after: moment + .milliseconds(50), within: .seconds(20)) + .milliseconds(50))
            }
            return recoveries.sorted()
        }
        let mark = ContinuousClock.now
        try await world.traffic(40, patience: 8)
        let after = world.tries.began(since: mark)
        let span = world.tries.began(since: start)
        return Seen(
            isOK: isHit && recoveries.count == 6 && recoveries.allSatisfy { $0 <= .seconds(10) } && span.others(than: [503]) == 0 && span.vague == 0
                && after.others(than: []) == 0,
            what: "\(isHit ? "hit in the middle" : "NOT hit in the middle"), \(recoveries.count) more; well again \(percentiles(recoveries)); "
                + span.description)
    }

    private static func serverDies(_ world: World, _ signal: Int32, perSecond: Int, lanes: Int) async throws -> Seen {
        let began = ContinuousClock.now
        let (died, back, early, shown) = try await world.underLoad(perSecond: perSecond, patience: 8, lanes: lanes) {
            try await ContinuousClock().sleep(for: .seconds(5))
            let died = ContinuousClock.now
            try world.database.signal(signal)
            try await ContinuousClock().sleep(for: .seconds(5))
            // What has left until now must stand as on the wire when the server is back; the gateway must not write that afterwards.
            for node in world.nodes { node.signal(SIGSTOP) }
            defer { for node in world.nodes { node.signal(SIGCONT) } }
            try await world.database.restart()
            let early = try await world.bytesWithoutPreWire()
            let back = ContinuousClock.now
            for node in world.nodes { node.signal(SIGCONT) }
            let shown = try await world.waitForMoreShown(than: world.simulator.counters.shown, within: .seconds(30))
            _ = try await world.waitForGood(after: back, within: .seconds(30))
            try await ContinuousClock().sleep(for: .seconds(2))
            return (died, back, early, shown)
        }
        let before = world.tries.began(since: began, until: died)
        let away = world.tries.began(since: died, until: died + .milliseconds(2_300))
        let accepted = world.tries.began(since: back - .seconds(5)).firstGood(after: back) ?? .seconds(99)
        let rate = Double(before.count(202)) / ((died - began) / .seconds(1))
        return Seen(
            isOK: away.count(503) > 0 && away.others(than: [503]) == 0 && away.vague == 0 && away.slowest <= .seconds(2) && early.isEmpty
                && accepted <= .seconds(10) && shown <= .seconds(10),
            what:
                "\(Int(rate)) messages/s; away: \(away.description), \(away.vague) without Retry-After ≤ 2 s; bytes without pre-wire \(early.count); "
                + "accepted \(tenths(accepted / .seconds(1))) s after it was back, shown \(tenths(shown / .seconds(1))) s")
    }
}

extension World {
    /// kill -9 of one server process that answers to a condition on `pg_stat_activity`. False: there was none within `limit`.
    func killBackend(_ condition: String, within limit: Duration) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            let found = try await database.ask(
                "proof.backend",
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND \(unescaped: condition) ORDER BY random() LIMIT 1"
            ) { try $0.column("pid", as: Int32.self) }
            if let process = found.first { return kill(process, SIGKILL) == 0 }
            try await ContinuousClock().sleep(for: .milliseconds(20))
        }
        return false
    }

    /// How long after a moment the API said yes for the first time.
    func waitForGood(after moment: ContinuousClock.Instant, within limit: Duration) async throws -> Duration {
        while true {
            if let first = tries.began(since: moment - .seconds(20)).firstGood(after: moment) { return first }
            guard ContinuousClock.now < moment + limit else { throw ProofFailure("no request was answered well within \(limit)") }
            try await ContinuousClock().sleep(for: .milliseconds(20))
        }
    }
}
