import Domain
import Foundation
import Glibc
import Postgres
import Proof

extension ProcessFault {
    /// What stands in the database is not what it should be.
    static let databaseContents: [ProcessFault] = [
        ProcessFault(
            name: "F80", injected: "one bit of one sender's stored credentials is flipped, then the node is started again",
            expected: "that sender is parked with its reason, the others send; put right and resumed it sends again"
        ) { try await inWorld(nodes: 1, senders: 3, within: .seconds(120), flippedBit) },
        ProcessFault(
            name: "F81", injected: "an older base backup restored: messages were sent, an account was closed since; `gateway restored`",
            expected:
                "what waited is sent again under the same ids and shown once, what was scheduled is ended; sessions begin anew; what was closed is closed again"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), Restoration.run) },
        ProcessFault(
            name: "F82", injected: "a migration that was changed, one that nobody knows, one left out; two nodes on an empty database at once",
            expected: "no start, and a sentence why; each migration applied once"
        ) { try await inWorld(nodes: 1, senders: 1, wrongSchemas) },
        ProcessFault(
            name: "F83", injected: "a source of random bytes that repeats itself; then ids that collide, 200 messages",
            expected: "no start; a collision overwrites nothing and is not seen outside, or as 503"
        ) { try await inWorld(nodes: 1, senders: 2, within: .seconds(120), collisions) },
    ]

    // MARK: Credentials

    private static func flippedBit(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        try await world.traffic(40, patience: 8)
        let victim = world.senders[0]
        let sender = try Sender.ID(text: victim).uuid
        func flip() async throws {
            try await world.database.tell(
                "proof.flip",
                "UPDATE sender_devices SET sealed = set_byte(sealed, length(sealed) / 2, get_byte(sealed, length(sealed) / 2) # 4) WHERE sender_id = \(sender)"
            )
        }
        await node.stop()
        try await flip()
        try await node.start()
        var state: (code: String, reason: String) = ("", "")
        for _ in 0..<200 where state.code != "parked" {
            try await ContinuousClock().sleep(for: .milliseconds(100))
            state = try await world.senderState(sender)
        }
        let shown = world.simulator.counters.shown
        try await world.traffic(40, patience: 8)
        let others = try await world.waitForMoreShown(than: shown, within: .seconds(30))
        try await ContinuousClock().sleep(for: .seconds(5))
        let lines = world.logLines(holding: "device state cannot be opened")
        let process = node.processID
        try await flip()
        let resumed = try await HTTP.request("POST", node.baseURL + "/v1/senders/\(victim)/resume", key: world.key).status
        var after = state
        for _ in 0..<300 where after.code != "ready" {
            try await ContinuousClock().sleep(for: .milliseconds(100))
            after = try await world.senderState(sender)
        }
        return Seen(
            isOK: state.code == "parked" && state.reason == "credentials_unreadable" && process != nil && (1...3).contains(lines)
                && after.code == "ready"
                && others <= .seconds(10),
            what:
                "\(state.code) (\(state.reason)), \(lines) log lines about it, the others' next message shown after \(tenths(others / .seconds(1))) s; "
                + "resumed (\(resumed)): \(after.code)")
    }

    // MARK: Schema

    private static func wrongSchemas(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        await node.stop()
        var seen: [String] = []
        var isOK = true
        func refuses(_ name: String, _ change: SQL, undo: SQL, says words: String) async throws {
            try await world.database.tell("proof.wrong", change)
            let before = (try? String(contentsOfFile: node.logFile, encoding: .utf8))?.utf8.count ?? 0
            var isRefused = false
            do {
                try await node.start()
                await node.stop()
            } catch { isRefused = true }
            let log = (try? String(contentsOfFile: node.logFile, encoding: .utf8)) ?? ""
            let isSaid = log.utf8.dropFirst(before).split(separator: 10).contains { String(decoding: $0, as: UTF8.self).contains(words) }
            isOK = isOK && isRefused && isSaid
            seen.append("\(name): \(isRefused ? "refused" : "STARTED")\(isSaid ? "" : ", NO SENTENCE")")
            try await world.database.tell("proof.right", undo)
        }
        try await refuses(
            "changed", "UPDATE gateway_migrations SET checksum = checksum || '\\x00' WHERE version = 3",
            undo: "UPDATE gateway_migrations SET checksum = substring(checksum FOR 32) WHERE version = 3",
            says: "migration 3 was changed after it was applied")
        try await refuses(
            "unknown", "INSERT INTO gateway_migrations (version, name, checksum) VALUES (0, 'other', '\\x00')",
            undo: "DELETE FROM gateway_migrations WHERE version = 0", says: "migration 0 was applied to this database and is unknown here")
        try await refuses(
            "left out", "UPDATE gateway_migrations SET version = -9 WHERE version = 9",
            undo: "UPDATE gateway_migrations SET version = 9 WHERE version = -9",
            says: "is unknown here")
        try await refuses(
            "missing",
            "WITH gone AS (DELETE FROM gateway_migrations WHERE version = 9 RETURNING *) SELECT set_config('proof.gone', '', false) FROM gone",
            undo: "INSERT INTO gateway_migrations (version, name, checksum) VALUES (9, \(name(9)), sha256(convert_to(\(text(9)), 'UTF8')))",
            says: "migration 9 should have been applied before")
        try await node.start()

        // Two at once, where there is nothing yet.
        try await world.database.admin.executeOutsideTransaction("proof.empty", "CREATE DATABASE empty")
        let settings = try world.nodeSettings.mapValues { $0.replacing("dbname='postgres'", with: "dbname='empty'") }
        let twins = try (0..<2).map { number in
            let home = "\(world.directory)/twin-\(number)"
            try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
            return GatewayProcess(
                binary: World.binary, dataDirectory: home, port: try LoopbackPort.free(), simulator: world.simulator.webSocketURL,
                settings: settings.merging(["GATEWAY_SECRETS_KEY_DIRECTORY": world.directory + "/twin-keys"]) { $1 })
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for twin in twins { group.addTask { try await twin.start() } }
                try await group.waitForAll()
            }
            // One set of keys: what one seals the other opens.
            let account = try await twins[0].verb(["account", "create", "Twins"])["id"] as? String
            let list = try await twins[1].verb(["account", "list"])["data"] as? [[String: Any]] ?? []
            let isShared = list.contains { $0["id"] as? String == account && $0["name"] as? String == "Twins" }
            isOK = isOK && isShared
            seen.append("two at once: both started\(isShared ? "" : ", WITH DIFFERENT KEYS")")
        } catch {
            isOK = false
            seen.append("two at once: \(error)")
        }
        for twin in twins { await twin.stop() }
        let stranger = Stranger(in: world, address: world.database.address("gateway_owner").replacing("dbname='postgres'", with: "dbname='empty'"))
        let applied = try await stranger.ask("SELECT version FROM gateway_migrations ORDER BY version") { try $0.column("version", as: Int.self) }
        await stranger.leave()
        isOK = isOK && applied == Migrations.all.map(\.version).sorted()
        seen.append("\(applied.count) of \(Migrations.all.count) migrations, each once")
        try await world.traffic(8, patience: 8)
        return Seen(isOK: isOK, what: seen.joined(separator: "; "))
    }

    private static func name(_ version: Int) -> String { Migrations.all.first { $0.version == version }?.name ?? "" }
    private static func text(_ version: Int) -> String { Migrations.all.first { $0.version == version }?.sql ?? "" }

    // MARK: Randomness

    private static func collisions(_ world: World) async throws -> Seen {
        let node = world.nodes[0]
        await node.stop()
        var isRefused = false
        do {
            try await node.start(sabotage: "constant-random")
            await node.stop()
        } catch { isRefused = true }
        let isSaid = world.logLines(holding: "random") > 0

        try await node.start(sabotage: "colliding-ids")
        let start = ContinuousClock.now
        try await world.traffic(200, patience: 8)
        let span = world.tries.began(since: start)
        let rows =
            try await world.database.ask("proof.rows", "SELECT count(*) AS rows FROM messages") { try $0.column("rows", as: Int.self) }.first ?? 0
        let collided = world.logLines(holding: "id collided")
        await node.stop()
        try await node.start()
        return Seen(
            isOK: isRefused && isSaid && rows == world.ledger.count && span.others(than: [503]) == 0 && (span.count(503) > 0 || collided > 0),
            what: "constant bytes: \(isRefused ? "refused" : "STARTED")\(isSaid ? "" : ", NO SENTENCE"); colliding ids: \(span.description), "
                + "\(rows) rows for \(world.ledger.count) messages")
    }
}

extension World {
    func senderState(_ sender: UUID) async throws -> (code: String, reason: String) {
        try await database.ask("proof.senderState", "SELECT state, coalesce(state_code, '') AS code FROM senders WHERE sender_id = \(sender)") {
            (code: try $0.column("state", as: String.self), reason: try $0.column("code", as: String.self))
        }.first ?? ("", "")
    }

    /// How long until more copies were shown than so many.
    func waitForMoreShown(than known: Int, within limit: Duration) async throws -> Duration {
        let start = ContinuousClock.now
        while simulator.counters.shown <= known {
            guard ContinuousClock.now < start + limit else { throw ProofFailure("no message was shown within \(limit)") }
            try await ContinuousClock().sleep(for: .milliseconds(20))
        }
        return ContinuousClock.now - start
    }
}
