import Foundation
import Glibc
import Postgres
import Proof

extension ProcessFault {
    /// A server that lives and says no.
    static let databaseRefusals: [ProcessFault] = [
        ProcessFault(
            name: "F68", injected: "default_transaction_read_only = on for 6 s, under 20 messages/s",
            expected: "503, /readyz 503, /healthz 200, the same process afterwards"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), readOnly) },
        ProcessFault(
            name: "F69", injected: "the data volume is full (a tmpfs of 400 MiB; WAL elsewhere), under 20 messages/s",
            expected: "503 and no send; the hourly job still deletes (only TRUNCATE needs room); well again ≤ 10 s after there is room; no PANIC"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), plan: smallDisk, dataVolumeFull) },
        ProcessFault(
            name: "F69+", injected: "the volume of the WAL is full (a tmpfs of 100 MiB): PostgreSQL ends in a PANIC, under 40 messages/s",
            expected: "503, /readyz 503 while PostgreSQL is down; well again ≤ 10 s after there is room and it was started"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), walVolumeFull) },
        ProcessFault(
            name: "F70",
            injected: "strangers take every connection that the server has left (max_connections 30), for 12 s (leases of 3 s), 40 at once",
            expected: "answered ≤ 2.5 s, 202 or 503; no lease lost"
        ) { try await inWorld(nodes: 1, senders: 3, within: .seconds(120), plan: { $0.databaseSettings["max_connections"] = "30" }, crowd) },
    ]

    private static func readOnly(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        let process = node.processID
        let (from, until, codes) = try await world.underLoad(perSecond: 20, patience: 8) {
            try await ContinuousClock().sleep(for: .seconds(2))
            try await Stranger.with(world) {
                try await $0.say("ALTER SYSTEM SET default_transaction_read_only = on")
                try await $0.say("SELECT pg_reload_conf()")
            }
            try await ContinuousClock().sleep(for: .seconds(1))
            let from = ContinuousClock.now
            try await ContinuousClock().sleep(for: .seconds(5))
            let until = ContinuousClock.now
            var codes: [Int] = []
            for path in ["/readyz", "/healthz"] { codes.append(try await HTTP.request("GET", node.baseURL + path).status) }
            try await Stranger.with(world) {
                try await $0.say("SET default_transaction_read_only = off")
                try await $0.say("ALTER SYSTEM RESET default_transaction_read_only")
                try await $0.say("SELECT pg_reload_conf()")
            }
            return (from, until, codes)
        }
        let during = world.tries.began(since: from, until: until - .seconds(2))
        let mark = ContinuousClock.now
        try await world.traffic(24, patience: 8)
        return Seen(
            isOK: during.count(503) > 0 && during.count(202) == 0 && during.others(than: [503]) == 0 && during.vague == 0 && codes == [503, 200]
                && node.processID == process && world.tries.began(since: mark).others(than: []) == 0,
            what: "meanwhile \(during.description), /readyz \(codes[0]), /healthz \(codes[1]); "
                + "\(node.processID == process ? "the same process" : "ANOTHER process")")
    }

    // MARK: Disks

    private static func smallDisk(_ plan: inout World.Plan) {
        plan.databaseDisk = 400
        plan.databaseSettings["max_wal_size"] = "64MB"
        plan.databaseSettings["min_wal_size"] = "32MB"
        plan.databaseSettings["shared_buffers"] = "32MB"
    }

    private static func dataVolumeFull(_ world: World) async throws -> Seen {
        try await moveWAL(of: world, to: world.directory + "/wal")
        try await world.traffic(24, patience: 8)

        let ballast = world.directory + "/db/ballast"
        let (full, room, cron, sent) = try await world.underLoad(perSecond: 20, patience: 8) {
            try SmallDisk.fill(ballast)
            let full = try await world.waitFor(503, within: .seconds(60))
            try await ContinuousClock().sleep(for: .seconds(2))
            let shown = world.simulator.counters.shown
            try await ContinuousClock().sleep(for: .seconds(3))
            let sent = world.simulator.counters.shown - shown
            let mark = Date()
            // It says no when one of its tasks failed.
            _ = try? await world.nodes[0].verb(["cron", "hourly"])
            let cron = try await world.tasks(since: mark)
            unlink(ballast)
            let room = ContinuousClock.now
            _ = try await world.waitForGood(after: room, within: .seconds(60))
            try await ContinuousClock().sleep(for: .seconds(3))
            return (full, room, cron, sent)
        }
        let during = world.tries.began(since: full, until: room - .seconds(3))
        let back = world.tries.began(since: full).firstGood(after: room) ?? .seconds(99)
        let panics = world.database.log.split(separator: "\n").count { $0.contains("PANIC") }
        return Seen(
            isOK: during.count(503) > 0 && during.others(than: [503]) == 0 && during.vague == 0 && back <= .seconds(10) && panics == 0
                && cron.well > 5
                && cron.failed.isSubset(of: ["contact_cache"]),
            what:
                "meanwhile \(during.description), \(sent) more copies shown in 3 s; of the hourly job's tasks \(cron.well) succeeded, failed: \(cron.failed.sorted()); "
                + "accepted \(tenths(back / .seconds(1))) s after there was room; \(panics) PANIC")
    }

    private static func walVolumeFull(_ world: World) async throws -> Seen {
        let disk = SmallDisk(at: world.directory + "/wal", mebibytes: 100)
        try await disk.mount()
        do {
            try await moveWAL(of: world, to: disk.path + "/pg_wal")
            let seen = try await walVolumeFull(world, disk.path + "/ballast")
            try await moveWAL(of: world, back: disk.path + "/pg_wal")
            await disk.unmount()
            return seen
        } catch {
            await disk.unmount()
            throw error
        }
    }

    private static func walVolumeFull(_ world: World, _ ballast: String) async throws -> Seen {
        let node = world.nodes[0]
        let process = node.processID
        try await world.traffic(24, patience: 8)
        let (full, room, ready, wasDown) = try await world.underLoad(perSecond: 40, patience: 8) {
            try SmallDisk.fill(ballast)
            // Its next files find no room.
            await Stranger.with(world) { stranger in
                for _ in 0..<20 { do { try await stranger.say("SELECT pg_switch_wal()") } catch { break } }
            }
            let full = try await world.waitFor(503, within: .seconds(90))
            try await ContinuousClock().sleep(for: .seconds(5))
            let wasDown = !world.database.isRunning
            let ready = try? await HTTP.request("GET", node.baseURL + "/readyz", timeout: 5).status
            unlink(ballast)
            try await world.database.restart()
            let room = ContinuousClock.now
            _ = try await world.waitForGood(after: room, within: .seconds(60))
            try await ContinuousClock().sleep(for: .seconds(3))
            return (full, room, ready ?? 0, wasDown)
        }
        let during = world.tries.began(since: full, until: room - .seconds(3))
        let back = world.tries.began(since: full).firstGood(after: room) ?? .seconds(99)
        let panics = world.database.log.split(separator: "\n").count { $0.contains("PANIC") }
        return Seen(
            isOK: during.count(503) > 0 && during.others(than: [503]) == 0 && during.vague == 0 && back <= .seconds(10)
                && (!wasDown || ready == 503) && node.processID == process && panics > 0,
            what: "\(panics) PANIC, PostgreSQL \(wasDown ? "down" : "up again"), /readyz \(ready); meanwhile \(during.description); "
                + "accepted \(tenths(back / .seconds(1))) s after there was room and it ran")
    }

    /// The write-ahead log lies elsewhere from now on.
    private static func moveWAL(of world: World, to path: String) async throws {
        try await world.database.stop()
        try FileManager.default.moveItem(atPath: world.database.files + "/pg_wal", toPath: path)
        try FileManager.default.createSymbolicLink(atPath: world.database.files + "/pg_wal", withDestinationPath: path)
        try PostgresPrograms.find().own(path, recursively: true)
        try await world.database.restart()
    }

    private static func moveWAL(of world: World, back path: String) async throws {
        try await world.database.stop()
        try FileManager.default.removeItem(atPath: world.database.files + "/pg_wal")
        try FileManager.default.moveItem(atPath: path, toPath: world.database.files + "/pg_wal")
        try PostgresPrograms.find().own(world.database.files + "/pg_wal", recursively: true)
        try await world.database.restart()
    }

    // MARK: Connections

    private static func crowd(_ world: World) async throws -> Seen {
        let before = try await world.leases()
        let strangers = (0..<40).map { _ in Stranger(in: world, address: world.database.address("gateway_api"), patience: .milliseconds(100)) }
        var taken = 0
        for stranger in strangers {
            // Until the server says that there are no more.
            do { try await stranger.say("SELECT 1") } catch { break }
            taken += 1
        }
        let from = ContinuousClock.now
        try await world.underLoad(perSecond: 160, patience: 8, lanes: 40) { try await ContinuousClock().sleep(for: .seconds(12)) }
        let during = world.tries.began(since: from)
        let after = try await world.leases()
        for stranger in strangers { await stranger.leave() }
        let moved = before.count { after[$0.key]?.epoch != $0.value.epoch }
        let mark = ContinuousClock.now
        try await world.traffic(80, patience: 8)
        let left = world.tries.began(since: mark)
        return Seen(
            isOK: taken > 0 && taken < 40 && moved == 0 && !before.isEmpty && during.others(than: [503]) == 0 && during.vague == 0
                && during.slowest <= .milliseconds(2_500) && left.others(than: []) == 0,
            what: "\(taken) connections taken; meanwhile \(during.description); \(moved) of \(before.count) leases changed hands")
    }
}

extension World {
    /// How the tasks of the hourly job went that began after a moment.
    func tasks(since moment: Date) async throws -> (well: Int, failed: Set<String>) {
        let runs = try await database.ask("proof.tasks", "SELECT job, succeeded FROM cron_runs WHERE started_at >= \(moment)") {
            (job: try $0.column("job", as: String.self), succeeded: try $0.column("succeeded", as: Bool.self))
        }
        return (runs.count { $0.succeeded }, Set(runs.filter { !$0.succeeded }.map(\.job)))
    }

    /// When the API first answered with this status; from now on.
    func waitFor(_ status: Int, within limit: Duration) async throws -> ContinuousClock.Instant {
        let start = ContinuousClock.now
        while tries.began(since: start).count(status) == 0 {
            guard ContinuousClock.now < start + limit else { throw ProofFailure("nothing was answered with \(status) within \(limit)") }
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        return .now
    }
}
