import Delivery
import Domain
import Foundation
import Logging
import Postgres
import Secrets
import UnixSignals

/// Database, keys and the domain: what `serve` and every verb need before they can do anything.
///
/// With no `database.url` it opens the embedded cluster in the data directory; whoever opened it first stops it.
struct Workplace: Sendable {
    let settings: Settings
    let gateway: Gateway
    /// The time that everything here goes by.
    let clock: DatabaseClock
    let cluster: EmbeddedCluster?
    /// The migrator's login; owner of the tables.
    let owner: Database
    /// The engine's login over a connection of its own, for metrics: whatever the others are busy with, operators see it.
    let operations: Database
    let logger: Logger
    /// For LISTEN, which needs a direct connection.
    let listenConfiguration: Database.Configuration

    /// Where the database is: the embedded cluster, if one was opened, and the address of every login.
    struct Place: Sendable {
        var cluster: EmbeddedCluster?
        var api: String
        var engine: String
        var cron: String
        var owner: String
        var listen: String

        /// Starts the embedded cluster, or joins it, when there is no `database.url`.
        static func find(_ settings: Settings, logger: Logger) async throws -> Place {
            let database = settings.database
            guard database.url.isEmpty else {
                return Place(
                    api: database.url, engine: database.engineURL, cron: database.cronURL, owner: database.migratorURL, listen: database.listenURL)
            }
            let cluster = try await EmbeddedCluster.open(directory: settings.dataDirectory, logger: logger)
            return Place(
                cluster: cluster, api: cluster.connectionString(role: "gateway_api"), engine: cluster.connectionString(role: "gateway_engine"),
                cron: cluster.connectionString(role: "gateway_cron"), owner: cluster.connectionString(),
                listen: cluster.connectionString(role: "gateway_engine"))
        }
    }

    /// Opens everything and applies migrations that are due. With keys that are not this database's it stops before anything is written.
    /// - Throws: `Failure` with what to do; `KeyRingFailure`, `MigrationError`, `DatabaseError`.
    static func open(_ settings: Settings, logger: Logger) async throws -> Workplace {
        try makeDirectory(settings.dataDirectory)
        let place = try await Place.find(settings, logger: logger)
        do {
            // What one pool has learned of the server, such as that it is an old primary, all others know too.
            let lineage = Lineage()
            func database(_ url: String, _ connections: Int, _ name: String) -> Database {
                Database(
                    Database.Configuration(
                        url: url, connections: connections, name: "gateway-\(name)", pooler: settings.database.usesPooler, lineage: lineage),
                    logger: logger)
            }
            let owner = database(place.owner, 1, "migrator")
            var keyRing = try await KeyCheck.openRing(settings.keyDirectory, of: owner)
            _ = try await Migrator(database: owner, migrations: Migrations.all).migrate()
            if keyRing == nil { keyRing = try KeyRing.open(directory: settings.keyDirectory, createIfMissing: true) }
            guard let keyRing else { throw Failure("there are no keys") }
            let databases = Databases(
                api: database(place.api, 8, "api"), engine: database(place.engine, 8, "engine"), cron: database(place.cron, 1, "cron"),
                leases: database(place.engine, 2, "leases"))
            let clock = DatabaseClock(database: databases.leases, logger: logger)
            await clock.look()
            let gateway = Gateway(
                databases: databases, keyRing: keyRing, pendingLimit: settings.limits.pendingPerAccount,
                acknowledgementLimit: TimeInterval(settings.delivery.acknowledgementTimeout.components.seconds),
                isPaced: settings.whatsApp.isPaced, webhookURLs: .allowed(by: settings.webhooks.policy), logger: logger, now: { clock.now() })
            return Workplace(
                settings: settings, gateway: gateway, clock: clock, cluster: place.cluster, owner: owner,
                operations: database(place.engine, 1, "operations"), logger: logger,
                listenConfiguration: Database.Configuration(url: place.listen, connections: 1, name: "gateway-hints", pooler: false, lineage: lineage)
            )
        } catch {
            try await place.cluster?.stop()
            throw error
        }
    }

    /// Opens, runs `body`, and closes again; also when Ctrl-C or SIGTERM ends it early, so that no embedded server is left behind.
    static func use<Value: Sendable>(
        _ settings: Settings, logger: Logger, _ body: @Sendable @escaping (Workplace) async throws -> Value
    ) async throws -> Value {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let workplace = try await open(settings, logger: logger)
        let outcome = await outcome(until: signals) { try await body(workplace) }
        try await workplace.close()
        return try outcome.get()
    }

    /// What `body` returns or throws, or a `Failure` as soon as a signal comes; the body is cancelled then.
    static func outcome<Value: Sendable>(
        until signals: UnixSignalsSequence, _ body: @Sendable @escaping () async throws -> Value
    ) async -> Result<Value, any Error> {
        await withTaskGroup(of: Result<Value, any Error>?.self) { group in
            group.addTask {
                do { return .success(try await body()) } catch { return .failure(error) }
            }
            group.addTask {
                for await _ in signals { return .failure(Failure("interrupted")) }
                return nil
            }
            var outcome: Result<Value, any Error> = .failure(Failure("interrupted"))
            for await first in group {
                guard let first else { continue }
                outcome = first
                break
            }
            group.cancelAll()
            return outcome
        }
    }

    func close() async throws {
        await gateway.databases.api.close()
        await gateway.databases.engine.close()
        await gateway.databases.cron.close()
        await gateway.databases.leases.close()
        await operations.close()
        await owner.close()
        try await cluster?.stop()
    }

    private static func makeDirectory(_ path: String) throws {
        guard !FileManager.default.fileExists(atPath: path) else { return }
        do {
            // Searchable by others: the embedded PostgreSQL runs as another user when the gateway runs as root. What lies inside is closed.
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        } catch {
            throw Failure("cannot create data_dir \(path): \(error.localizedDescription)")
        }
    }
}
