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
    let logger: Logger
    /// For LISTEN, which needs a direct connection.
    let listenConfiguration: Database.Configuration

    /// Opens everything and applies migrations that are due.
    /// - Throws: `Failure` with what to do; `KeyRingFailure`, `MigrationError`, `DatabaseError`.
    static func open(_ settings: Settings, logger: Logger) async throws -> Workplace {
        try makeDirectory(settings.dataDirectory)
        var cluster: EmbeddedCluster?
        var urls = (
            api: settings.database.url, engine: settings.database.engineURL, cron: settings.database.cronURL, owner: settings.database.migratorURL,
            listen: settings.database.listenURL
        )
        if settings.database.url.isEmpty {
            let opened = try await EmbeddedCluster.open(directory: settings.dataDirectory, logger: logger)
            cluster = opened
            urls = (
                opened.connectionString(role: "gateway_api"), opened.connectionString(role: "gateway_engine"),
                opened.connectionString(role: "gateway_cron"), opened.connectionString(), opened.connectionString(role: "gateway_engine")
            )
        }
        do {
            func database(_ url: String, _ connections: Int, _ name: String) -> Database {
                Database(
                    Database.Configuration(url: url, connections: connections, name: "gateway-\(name)", pooler: settings.database.usesPooler),
                    logger: logger)
            }
            let owner = database(urls.owner, 1, "migrator")
            _ = try await Migrator(database: owner, migrations: Migrations.all).migrate()
            let databases = Databases(
                api: database(urls.api, 8, "api"), engine: database(urls.engine, 8, "engine"), cron: database(urls.cron, 1, "cron"),
                leases: database(urls.engine, 2, "leases"))
            let clock = DatabaseClock(database: databases.leases, logger: logger)
            await clock.look()
            let gateway = Gateway(
                databases: databases, keyRing: try await openKeys(settings, owner: owner), pendingLimit: settings.limits.pendingPerAccount,
                acknowledgementLimit: TimeInterval(settings.delivery.acknowledgementTimeout.components.seconds),
                isPaced: settings.whatsApp.isPaced, logger: logger, now: { clock.now() })
            return Workplace(
                settings: settings, gateway: gateway, clock: clock, cluster: cluster, owner: owner, logger: logger,
                listenConfiguration: Database.Configuration(url: urls.listen, connections: 1, name: "gateway-hints", pooler: false))
        } catch {
            try await cluster?.stop()
            throw error
        }
    }

    /// Opens, runs `body`, and closes again; also when Ctrl-C or SIGTERM ends it early, so that no embedded server is left behind.
    static func use<Value: Sendable>(
        _ settings: Settings, logger: Logger, _ body: @Sendable @escaping (Workplace) async throws -> Value
    ) async throws -> Value {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let workplace = try await open(settings, logger: logger)
        let outcome = await withTaskGroup(of: Result<Value, any Error>?.self) { group in
            group.addTask {
                do { return .success(try await body(workplace)) } catch { return .failure(error) }
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
        try await workplace.close()
        return try outcome.get()
    }

    func close() async throws {
        await gateway.databases.api.close()
        await gateway.databases.engine.close()
        await gateway.databases.cron.close()
        await gateway.databases.leases.close()
        await owner.close()
        try await cluster?.stop()
    }

    /// Keys are made only for a database that holds no account yet: a missing key would make what is sealed unreadable for ever.
    private static func openKeys(_ settings: Settings, owner: Database) async throws -> KeyRing {
        let hasAccounts = try await owner.queryOne(
            "keys.accounts", "SELECT EXISTS (SELECT FROM accounts) AS present", access: .readOnly
        ) { row in try row.column("present", as: Bool.self) }
        return try KeyRing.open(directory: settings.keyDirectory, createIfMissing: hasAccounts == false)
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
