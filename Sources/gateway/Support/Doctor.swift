import Domain
import Foundation
import Glibc
import Logging
import Postgres
import Secrets
import Telemetry
import UnixSignals

/// Looks at everything a gateway needs, as `gateway doctor` shows it. It changes nothing: no migration, no key, no cluster is made.
struct Doctor: Sendable {
    let settings: Settings
    let logger: Logger
    /// nil: DNS and egress are left out.
    let egress: EgressCheck?

    private static let leastFiles = 4_096
    private static let littleDisk: UInt64 = 2 << 30
    private static let noDisk: UInt64 = 256 << 20

    /// One line a check, always the same checks in the same order.
    /// - Throws: `Failure` when a signal comes.
    func examine(until signals: UnixSignalsSequence) async throws -> [HealthCheck] {
        var checks = [HealthCheck.ok("configuration", "valid"), dataDirectory(), disk(), openFiles()]
        let outcome = await Workplace.outcome(until: signals) { await databaseChecks() + networkChecks() }
        checks += try outcome.get()
        return checks
    }

    // MARK: This machine

    private func dataDirectory() -> HealthCheck {
        let path = settings.dataDirectory
        var status = stat()
        guard stat(path, &status) == 0 else {
            return settings.database.url.isEmpty
                ? .failed("data directory", "\(path) is not there", "run: gateway migrate")
                : .warning("data directory", "\(path) is not there", "it is made at the first start")
        }
        guard status.st_mode & 0o022 == 0 else {
            return .failed("data directory", "others may write to \(path)", "run: chmod go-w '\(path)'")
        }
        guard status.st_uid == geteuid() || geteuid() == 0 else {
            return .failed("data directory", "\(path) belongs to another user", "run as the user that the service runs as")
        }
        return .ok("data directory", path)
    }

    private func disk() -> HealthCheck {
        var status = statvfs()
        guard statvfs(settings.dataDirectory, &status) == 0 else { return .skipped("disk", "there is no data directory") }
        let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
        let text = "\(free >> 20) MiB free at \(settings.dataDirectory)"
        if free < Self.noDisk { return .failed("disk", text, "make room: a full disk stops the embedded database") }
        if free < Self.littleDisk { return .warning("disk", text, "make room before it is full") }
        return .ok("disk", text)
    }

    private func openFiles() -> HealthCheck {
        guard let most = ProcessFigures.fileLimit() else { return .skipped("open files", "the limit cannot be read") }
        guard most >= Self.leastFiles else {
            return .warning(
                "open files", "at most \(most) in this shell", "every sender and request takes one: LimitNOFILE in the unit, ulimit -n here")
        }
        return .ok("open files", "at most \(most)")
    }

    // MARK: Database and keys

    private static let databaseChecks = [
        "database", "logins", "migrations", "keys", "sealed row", "clock", "queue", "hourly job", "contact cache", "partitions", "senders",
        "client version", "webhooks", "operator",
    ]

    private func databaseChecks() async -> [HealthCheck] {
        var found: [HealthCheck] = []
        func finish(_ check: HealthCheck) -> [HealthCheck] {
            found.append(check)
            let names = Set(found.map(\.check))
            return found + Self.databaseChecks.filter { !names.contains($0) }.map { .skipped($0, "\(check.check) failed") }
        }
        if settings.database.url.isEmpty, !hasCluster {
            return finish(.failed("database", "there is no cluster in \(settings.dataDirectory) yet", "run: gateway migrate"))
        }
        do {
            let place = try await Workplace.Place.find(settings, logger: logger)
            found = await checks(at: place)
            do { try await place.cluster?.stop() } catch { found.append(.warning("cluster", "it did not stop: \(error)", "see its log")) }
            let names = Set(found.map(\.check))
            return found + Self.databaseChecks.filter { !names.contains($0) }.map { .skipped($0, "something before it failed") }
        } catch {
            return finish(.failed("database", "\(error)", "see the log in \(settings.dataDirectory)"))
        }
    }

    private var hasCluster: Bool {
        ["postgres", "postgres.place"].contains { FileManager.default.fileExists(atPath: "\(settings.dataDirectory)/\($0)") }
    }

    private func checks(at place: Workplace.Place) async -> [HealthCheck] {
        func open(_ url: String, _ name: String) -> Database {
            Database(
                Database.Configuration(url: url, connections: 1, name: "gateway-doctor-\(name)", pooler: settings.database.usesPooler), logger: logger
            )
        }
        let databases = Databases(api: open(place.api, "api"), engine: open(place.engine, "engine"), cron: open(place.cron, "cron"))
        let owner = open(place.owner, "owner")
        let checks = await checks(databases, owner)
        for database in [databases.api, databases.engine, databases.cron, owner] { await database.close() }
        return checks
    }

    private func checks(_ databases: Databases, _ owner: Database) async -> [HealthCheck] {
        var found = await DatabaseChecks.reach(databases, owner)
        guard !found.contains(where: { $0.check == "database" && $0.result == .failed }) else { return found }
        found.append(await DatabaseChecks.migrations(owner))
        let (keys, ring) = await keys(owner)
        found.append(keys)
        if let ring {
            found.append(await sealedRow(databases, ring))
            found.append(await AlertChecks(settings: settings.alerts).operatorAccount(Gateway(databases: databases, keyRing: ring, logger: logger)))
        }
        found.append(await DatabaseChecks.clock(databases.engine))
        do {
            let figures = try await Operations(database: databases.engine).figures(now: Date(), deadline: .seconds(20))
            found += HealthCheck.checks(of: figures, now: Date()).map { $0.check == "client version" ? clientVersion($0) : $0 }
        } catch {
            found.append(.failed("queue", "the figures cannot be read: \(error)", "run: gateway migrate"))
        }
        return found
    }

    private func keys(_ owner: Database) async -> (HealthCheck, KeyRing?) {
        do {
            guard let ring = try await KeyCheck.openRing(settings.keyDirectory, of: owner) else {
                return (.ok("keys", "none are needed yet: there is no account"), nil)
            }
            return (.ok("keys", "\(ring.ids.count) in \(settings.keyDirectory), they open this database's data keys"), ring)
        } catch {
            let detail = (error as? Failure).map { String($0.description.dropFirst("gateway: ".count)) } ?? "\(error)"
            return (.failed("keys", detail, "without them nothing sealed can be read; see /docs/backup-restore"), nil)
        }
    }

    /// Reads one account's name, over the login that serves requests.
    private func sealedRow(_ databases: Databases, _ ring: KeyRing) async -> HealthCheck {
        let gateway = Gateway(databases: databases, keyRing: ring, logger: logger)
        do {
            let ids = try await databases.api.query(
                "doctor.accounts", "SELECT account_id FROM gateway_account_ids() AS ids (account_id) LIMIT 20", access: .readOnly
            ) { try $0.column("account_id", as: Account.ID.self) }
            for id in ids {
                guard let account = try await gateway.accounts.find(id), account.state == .active else { continue }
                return .ok("sealed row", "an account's name was opened")
            }
            return .ok("sealed row", "no active account has one")
        } catch {
            return .failed("sealed row", "\(error)", "the keys or the row are damaged; see /docs/backup-restore")
        }
    }

    /// What WhatsApp says to the senders, and whether the setting is older than what this release was tried with.
    private func clientVersion(_ check: HealthCheck) -> HealthCheck {
        func numbers(_ text: String) -> [Int] { text.split(separator: ".").compactMap { Int($0) } }
        guard check.result == .ok else { return check }
        let isOlder = numbers(settings.whatsApp.version).lexicographicallyPrecedes(numbers(Release.clientVersion))
        guard !isOlder else {
            return .warning(
                check.check, "\(settings.whatsApp.version) is older than this release's \(Release.clientVersion)",
                "take whatsapp.client_version out of gateway.toml")
        }
        return .ok(check.check, "\(settings.whatsApp.version); \(check.detail)")
    }

    // MARK: Network

    private func networkChecks() async -> [HealthCheck] {
        guard let egress else { return (["dns", "egress"] + AlertChecks.names).map { .skipped($0, "not asked for") } }
        return await egress.run() + AlertChecks(settings: settings.alerts).reach()
    }
}
