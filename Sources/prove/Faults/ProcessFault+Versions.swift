import Foundation
import Postgres
import Proof

extension ProcessFault {
    /// Several versions at once. There is one binary here; the next version is played by its migration, which only adds.
    static let versions: [ProcessFault] = [
        ProcessFault(
            name: "F62", injected: "the next version's migration applied, then this version started again", expected: "it works with the newer schema"
        ) {
            try await inWorld(nodes: 1, senders: 2) { world in
                await world.nodes[0].stop()
                try await world.migrateToNext()
                try await world.nodes[0].start()
                try await world.traffic(24)
                return Seen(isOK: true, what: "started and sent")
            }
        },
        ProcessFault(
            name: "F63", injected: "the next version's migration applied under three running nodes; one restarted",
            expected: "both respect the epochs"
        ) {
            try await inWorld(senders: 6) { world in
                try await world.underLoad(perSecond: 10) {
                    try await ContinuousClock().sleep(for: .seconds(2))
                    try await world.migrateToNext()
                    try await ContinuousClock().sleep(for: .seconds(2))
                    await world.nodes[0].stop()
                    try await world.nodes[0].start()
                    await world.nodes[1].kill()
                    try await ContinuousClock().sleep(for: .seconds(5))
                    try await world.nodes[1].start()
                }
                let stale = try await Audit.violations(in: world.database.admin, isFinal: false).filter { $0.contains("epoch") }.count
                return Seen(isOK: stale == 0, what: "stale writes \(stale), \(world.answers.serverErrors) × 5xx")
            }
        },
    ]
}

extension World {
    /// What a later version would do to the schema: a column and a table more.
    fileprivate func migrateToNext() async throws {
        for statement in [
            "ALTER TABLE senders ADD COLUMN next_version_field text", "CREATE TABLE next_version (id bigint PRIMARY KEY)",
            "INSERT INTO gateway_migrations (version, name, checksum) SELECT max(version) + 1, 'next', '\\x00' FROM gateway_migrations",
        ] {
            try await database.admin.execute("proof.migrate", SQL(unescaped: statement))
        }
    }
}
