import Domain
import Foundation
import Glibc
import Postgres
import Proof

/// F81: the database goes back to an older base backup, as Docs/backup-restore.md has it.
enum Restoration {
    static func run(_ world: World) async throws -> ProcessFault.Seen {
        let node = world.nodes[0]
        let programs = try PostgresPrograms.find()
        guard let erased = try await node.verb(["account", "create", "Erased"])["id"] as? String else { throw ProofFailure("no account") }
        let other = Caller(world, key: try await World.makeKey(node, erased, test: true))
        _ = try await world.pair(key: other.key)
        for _ in 0..<4 { try await other.post(world.anyRecipient()) }
        try await world.traffic(40, patience: 8)
        _ = try await world.reckon(world.ledger.all.map(\.nonce), within: .seconds(30))

        // They wait in the backup, and are sent after it. What is sent twice under one id gets no second receipt.
        await node.stop()
        try await node.start(roles: "api")
        var waiting: [String] = []
        for _ in 0..<8 { waiting.append(try await Caller(world).post(world.anyRecipient(), end: .taken)) }
        // Their time comes after the backup, too.
        let due = Date(timeIntervalSinceNow: 8).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        var scheduled: [String] = []
        for _ in 0..<8 { scheduled.append(try await Caller(world).post(world.anyRecipient(), more: #","send_at":"\#(due)""#)) }
        let backup = world.directory + "/backup"
        try FileManager.default.createDirectory(atPath: backup, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        try programs.own(backup)
        let host = URL(fileURLWithPath: world.database.socket).deletingLastPathComponent().path
        try await programs.run(
            "pg_basebackup", ["-h", host, "-U", "gateway_owner", "-D", backup, "-X", "stream", "-c", "fast"], log: world.directory + "/backup.log")

        // Since then.
        await node.stop()
        try await node.start()
        let first = Set(world.ledger.all.map(\.nonce))
        try await world.traffic(80, patience: 8)
        let reckoning = try await world.reckon(world.ledger.all.map(\.nonce), within: .seconds(60))
        let ids = wireIDs(of: waiting + scheduled, in: world)
        let since = world.ledger.all.filter { !first.contains($0.nonce) }
        _ = try await node.verb(["account", "close", erased])
        let isErased = try await world.leftovers(ofAccount: erased) == 0
        let known = knownCopies(world)

        await node.stop()
        try await world.database.stop()
        let files = world.database.files
        try FileManager.default.moveItem(atPath: files, toPath: world.directory + "/after")
        try FileManager.default.moveItem(atPath: backup, toPath: files)
        try await world.database.restart()
        // What was accepted since the backup is gone from it, and has been shown.
        for entry in since { world.ledger.giveUp(entry.nonce) }
        let isBack = try await world.leftovers(ofAccount: erased) > 0
        let (forgotten, ended) = try await restored(node)
        let left =
            try await world.database.ask("proof.sessions", "SELECT count(*) AS rows FROM signal_sessions") {
                try $0.column("rows", as: Int.self)
            }.first ?? -1
        // Nothing serves, so nobody unlinks its sender from the phone.
        _ = try await node.verb(["account", "close", erased, "--patience", "1"])
        for entry in world.ledger.all where entry.id == nil { world.ledger.giveUp(entry.nonce) }

        try await node.start()
        try await world.traffic(80, patience: 8)
        _ = try await world.reckon(waiting, within: .seconds(60))
        let again = knownCopies(world) - known
        let sameIDs = wireIDs(of: waiting + scheduled, in: world) == ids && ids.count == waiting.count + scheduled.count
        // They may have been sent, and nobody knows under which id: not once more.
        let isEnded = try await world.states(of: scheduled) == ["expired"]
        for nonce in scheduled { world.ledger.giveUp(nonce) }
        let residue = try await world.leftovers(ofAccount: erased)
        // Its own messages are gone with it.
        for entry in world.ledger.all where first.contains(entry.nonce) && !waiting.contains(entry.nonce) {
            if try await world.isUnknown(entry) { world.ledger.giveUp(entry.nonce) }
        }
        return ProcessFault.Seen(
            isOK: reckoning.isClean && isErased && isBack && forgotten > 0 && left == 0 && again >= waiting.count && sameIDs && isEnded
                && ended >= scheduled.count && residue == 0
                && world.simulator.counters.decryptFailures == 0,
            what:
                "\(waiting.count) messages sent again, \(ended) scheduled ones ended, no other id shown: \(sameIDs), \(again) of them known to server or phone; \(forgotten) sessions forgotten, "
                + "\(world.simulator.counters.decryptFailures) copies unreadable; the closed account was back: \(isBack), closed again: \(residue) rows left"
        )
    }

    /// `gateway restored`, which refuses as long as the backup's node may be alive: a minute. How many sessions it forgot and messages it ended.
    private static func restored(_ node: GatewayProcess) async throws -> (sessions: Int, ended: Int) {
        let end = ContinuousClock.now + .seconds(90)
        while true {
            do {
                let done = try await node.verb(["restored"])
                return (done["signal_sessions"] as? Int ?? 0, done["ended_messages"] as? Int ?? 0)
            } catch {
                guard ContinuousClock.now < end else { throw error }
                try await ContinuousClock().sleep(for: .seconds(3))
            }
        }
    }

    /// What arrived under an id that was there before: the server drops it, or the phone shows it no second time.
    private static func knownCopies(_ world: World) -> Int { world.simulator.counters.duplicates + world.simulator.counters.duplicateStanzas }

    /// Text → wire ids under which it was shown to the recipient.
    private static func wireIDs(of nonces: [String], in world: World) -> [String: Set<String>] {
        let wanted = Set(nonces)
        var ids: [String: Set<String>] = [:]
        for message in world.simulator.received(limit: 400_000) where !message.isOwnCopy && message.shown > 0 {
            if let text = message.text, wanted.contains(text) { ids[text, default: []].insert(message.id) }
        }
        return ids
    }
}

extension World {
    /// In which states these messages are.
    fileprivate func states(of nonces: [String]) async throws -> Set<String> {
        let ids = try nonces.compactMap { ledger.entry($0)?.id }.map { try Message.ID(text: $0).uuid }
        return Set(
            try await database.ask("proof.states", "SELECT state FROM messages WHERE message_id = ANY (\(ids))") {
                try $0.column("state", as: String.self)
            })
    }

    /// Whether a message that was accepted is nowhere.
    fileprivate func isUnknown(_ entry: Ledger.Entry) async throws -> Bool {
        guard let id = entry.id else { return false }
        let message = try Message.ID(text: id).uuid
        return try await database.ask("proof.known", "SELECT count(*) AS rows FROM messages WHERE message_id = \(message)") {
            try $0.column("rows", as: Int.self)
        }.first == 0
    }
}
