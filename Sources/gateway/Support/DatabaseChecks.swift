import Domain
import Foundation
import Postgres

/// What `gateway doctor` asks the database about itself. Reads only.
enum DatabaseChecks {
    private static let oldestServer = 150_000
    private static let clockWarning: TimeInterval = DatabaseClock.tolerance
    private static let clockLimit: TimeInterval = 60

    private struct Login: Sendable {
        var name: String
        var seesAll: Bool
        var server: Int
        var took: Duration
    }

    /// Every login once: whether it gets in, and whether it may do no more than it should.
    static func reach(_ databases: Databases, _ owner: Database) async -> [HealthCheck] {
        var logins: [String: Login] = [:]
        for (role, database) in [("migrator", owner), ("api", databases.api), ("engine", databases.engine), ("cron", databases.cron)] {
            do { logins[role] = try await login(database) } catch {
                return [
                    .failed(
                        "database", "the login for \(role) does not get in: \(error)",
                        role == "migrator"
                            ? "is the server up, and database.migrator_url right?" : "run gateway migrate, then set its password and URL")
                ]
            }
        }
        guard let api = logins["api"], let engine = logins["engine"], let cron = logins["cron"] else { return [] }
        guard api.server >= oldestServer else {
            return [.failed("database", "PostgreSQL \(api.server / 10_000) is too old", "use PostgreSQL 15 or newer")]
        }
        let reached = HealthCheck.ok("database", "PostgreSQL \(api.server / 10_000), a round trip takes \(api.took.milliseconds) ms")
        let wide = [("api", api), ("engine", engine), ("cron", cron)].filter(\.1.seesAll).map(\.0)
        if !wide.isEmpty {
            return [
                reached,
                .failed(
                    "logins", "row-level security does not hold for: \(wide.joined(separator: ", "))",
                    "use gateway_api, gateway_engine and gateway_cron in database.url, engine_url and cron_url"),
            ]
        }
        guard Set([api.name, engine.name, cron.name]).count == 3 else {
            return [
                reached,
                .warning("logins", "several roles share the login \(engine.name)", "give database.url, engine_url and cron_url a login each"),
            ]
        }
        return [reached, .ok("logins", [api, engine, cron].map(\.name).joined(separator: ", "))]
    }

    private static func login(_ database: Database) async throws -> Login {
        let start = ContinuousClock.now
        _ = try await database.query("doctor.connect", "SELECT 1 AS one", access: .readOnly) { _ in }
        let connected = ContinuousClock.now
        let row = try await database.queryOne(
            "doctor.login",
            """
            SELECT current_user::text AS login, r.rolsuper OR r.rolbypassrls AS sees_all, current_setting('server_version_num')::bigint AS server
            FROM pg_roles r
            WHERE r.rolname = current_user
            """, access: .readOnly
        ) { row in
            Login(
                name: try row.column("login", as: String.self), seesAll: try row.column("sees_all", as: Bool.self),
                server: Int(try row.column("server", as: Int64.self)), took: .zero)
        }
        guard var login = row else { throw Failure("the login is unknown to its server") }
        login.took = min(connected - start, connected.duration(to: .now))
        return login
    }

    static func migrations(_ owner: Database) async -> HealthCheck {
        do {
            let isMade = try await owner.queryOne(
                "doctor.table", "SELECT to_regclass('public.gateway_migrations') IS NOT NULL AS made", access: .readOnly
            ) { try $0.column("made", as: Bool.self) }
            guard isMade == true else { return .failed("migrations", "none was ever applied", "run: gateway migrate") }
            let applied = Set(
                try await owner.query("doctor.migrations", "SELECT version FROM gateway_migrations ORDER BY version", access: .readOnly) {
                    Int(try $0.column("version", as: Int64.self))
                })
            let ours = Set(Migrations.all.map(\.version))
            let due = ours.subtracting(applied).count
            guard due == 0 else { return .failed("migrations", "\(due) are due", "run: gateway migrate") }
            guard applied.isSubset(of: ours) else {
                return .warning("migrations", "the database is newer than this gateway", "update the gateway on this machine too; see /docs/upgrade")
            }
            return .ok("migrations", "version \(ours.max() ?? 0), none is due")
        } catch {
            return .failed("migrations", "\(error)", "is database.migrator_url right?")
        }
    }

    static func clock(_ database: Database) async -> HealthCheck {
        do {
            let start = Date()
            let theirs = try await database.queryOne("doctor.clock", "SELECT clock_timestamp() AS moment", access: .readOnly) {
                try $0.column("moment", as: Date.self)
            }
            let end = Date()
            guard let theirs else { return .failed("clock", "the database has none", "see its log") }
            let offset = start.addingTimeInterval(end.timeIntervalSince(start) / 2).timeIntervalSince(theirs)
            let text = "this machine is \(String(format: "%.3f", abs(offset))) s \(offset < 0 ? "behind" : "ahead of") the database"
            if abs(offset) > clockLimit { return .failed("clock", text, "run a time service (chrony, systemd-timesyncd) on both") }
            if abs(offset) > clockWarning { return .warning("clock", text, "the gateway goes by the database's; run a time service on both") }
            return .ok("clock", text)
        } catch {
            return .failed("clock", "\(error)", "is the database up?")
        }
    }
}
