import Domain
import Foundation
import Glibc
import Postgres
import Proof
import Synchronization

/// F67: a primary that dies, a standby that lags and takes its place, and the primary that comes back as if nothing had happened.
final class Failover: Sendable {
    private let world: World
    private let programs: PostgresPrograms
    private let replication: FaultProxy
    private let standby = Mutex<ChildProcess?>(nil)

    private init(_ world: World, _ programs: PostgresPrograms, _ replication: FaultProxy) {
        self.world = world
        self.programs = programs
        self.replication = replication
    }

    static func run(_ world: World) async throws -> ProcessFault.Seen {
        let replication = try await FaultProxy.start(to: .socket(world.database.socket))
        let failover = Failover(world, try .find(), replication)
        do {
            let seen = try await failover.run()
            await replication.stop()
            return seen
        } catch {
            await failover.standby.withLock { $0 }?.kill()
            await replication.stop()
            throw error
        }
    }

    private var folder: String { world.directory + "/standby" }
    private var socketFolder: String { world.directory + "/standby-socket" }
    private var log: String { world.directory + "/standby.log" }
    private var standbyAddress: String { "host='\(socketFolder)' user='gateway_owner' dbname='postgres'" }

    private func run() async throws -> ProcessFault.Seen {
        let line = try world.front.line
        let other = try world.front.other
        try await startStandby()
        other.lead(to: .socket(socketFolder + "/.s.PGSQL.5432"))
        other.set(.good)

        let (lag, takeover, safe) = try await world.underLoad(perSecond: 20, patience: 8) {
            try await ContinuousClock().sleep(for: .seconds(4))
            // What was accepted by now has a moment to get across.
            let safe = Set(world.ledger.all.compactMap(\.id))
            try await ContinuousClock().sleep(for: .seconds(1))
            replication.set(.silent)
            let silent = ContinuousClock.now
            try await ContinuousClock().sleep(for: .seconds(2))
            line.set(.closed)
            try world.database.kill()
            let died = ContinuousClock.now
            try await promote()
            _ = try await world.waitForGood(after: died, within: .seconds(40))
            let takeover = ContinuousClock.now - died
            try await ContinuousClock().sleep(for: .seconds(3))
            return (died - silent, takeover, safe)
        }
        let lost = try await messagesThatTheStandbyLacks()
        let lostSafe = lost.filter { entry in entry.id.map(safe.contains) ?? false }
        for entry in lost { world.ledger.giveUp(entry.nonce) }
        // A receipt that came during the lag is lost with it, and nobody sends it again.
        for entry in world.ledger.all { world.ledger.change(entry.nonce) { $0.end = .taken } }

        // The old one is back, takes writes, and stands first in the address.
        try await world.database.restart()
        let before = try await messages(at: world.database.address("gateway_owner"))
        line.set(.good)
        let moment = ContinuousClock.now
        let back = try await world.underLoad(perSecond: 20, patience: 8) {
            try await ContinuousClock().sleep(for: .seconds(1))
            other.cut()
            let cut = ContinuousClock.now
            let back = try await world.waitForGood(after: cut + .milliseconds(20), within: .seconds(40))
            try await ContinuousClock().sleep(for: .seconds(5))
            return back
        }
        let stale = try await messages(at: world.database.address("gateway_owner")) - before
        let span = world.tries.began(since: moment)
        let connections = line.taken
        try await replaceTheOldOne(line, other)
        return ProcessFault.Seen(
            isOK: lostSafe.isEmpty && !lost.isEmpty && stale == 0 && takeover <= .seconds(15) && back <= .seconds(10)
                && span.others(than: [503]) == 0,
            what: "lag \(tenths(lag / .seconds(1))) s, \(lost.count) messages of it lost, \(lostSafe.count) older ones; accepted again "
                + "\(tenths(takeover / .seconds(1))) s after the death; the old primary got \(stale) messages (\(connections) connections tried), "
                + "accepted \(tenths(back / .seconds(1))) s after the line to the new one was cut; \(span.description)")
    }

    // MARK: Two servers

    private func startStandby() async throws {
        for path in [folder, socketFolder] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try programs.own(path)
        }
        let host = URL(fileURLWithPath: world.database.socket).deletingLastPathComponent().path
        try await programs.run(
            "pg_basebackup", ["-h", host, "-U", "gateway_owner", "-D", folder, "-X", "stream", "-c", "fast"], log: log)
        let settings =
            "primary_conninfo = 'host=127.0.0.1 port=\(replication.port) user=gateway_owner sslmode=disable'\nrecovery_target_timeline = 'latest'\n"
        try settings.write(toFile: folder + "/postgresql.auto.conf", atomically: false, encoding: .utf8)
        try "".write(toFile: folder + "/standby.signal", atomically: false, encoding: .utf8)
        for name in ["postgresql.auto.conf", "standby.signal"] { try programs.own("\(folder)/\(name)") }
        let command = programs.prefix + ["\(programs.folder)/postgres", "-D", folder, "-c", "unix_socket_directories=\(socketFolder)"]
        let server = try ChildProcess(command[0], Array(command.dropFirst()), output: log)
        standby.withLock { $0 = server }
        try await programs.run("pg_isready", ["-h", socketFolder, "-t", "30"], log: log, tries: 100)
    }

    private func promote() async throws { try await programs.run("pg_ctl", ["promote", "-D", folder, "-w", "-t", "60"], log: log) }

    /// From here on the new primary is the world's database.
    private func replaceTheOldOne(_ line: FaultProxy, _ other: FaultProxy) async throws {
        line.set(.closed)
        try await world.database.stop()
        // A fast shutdown.
        standby.withLock { $0 }?.signal(SIGINT)
        guard try await standby.withLock({ $0 })?.ended(within: .seconds(30)) ?? true else { throw ProofFailure("the standby did not end") }
        other.set(.closed)
        let files = world.database.files
        try FileManager.default.moveItem(atPath: files, toPath: world.directory + "/old-primary")
        try FileManager.default.moveItem(atPath: folder, toPath: files)
        try await world.database.restart()
        line.cut()
        line.set(.good)
    }

    // MARK: What they hold

    private func messages(at address: String) async throws -> Int {
        let stranger = Stranger(in: world, address: address)
        let found = try await stranger.ask("SELECT count(*) AS rows FROM messages") { try $0.column("rows", as: Int.self) }
        await stranger.leave()
        return found.first ?? 0
    }

    /// Accepted, and not there.
    private func messagesThatTheStandbyLacks() async throws -> [Ledger.Entry] {
        let stranger = Stranger(in: world, address: standbyAddress)
        let there = Set(
            try await stranger.ask("SELECT message_id FROM messages") { try $0.column("message_id", as: Message.ID.self).description })
        await stranger.leave()
        return world.ledger.all.filter { entry in entry.id.map { !there.contains($0) } ?? false }
    }
}
