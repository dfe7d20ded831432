import Postgres
import ServiceLifecycle
import Synchronization

/// Whether this process should get requests, as codes: `database_unavailable`, `database_read_only`, `stopping`. No code: it is ready.
/// It stands last in the service group, so that it is the first to hear of a shutdown.
final class Readiness: Service, Sendable {
    private let database: Database
    private let isStopping = Mutex(false)

    init(database: Database) { self.database = database }

    func run() async throws {
        try? await gracefulShutdown()  // cancelled instead: the same end
        isStopping.withLock { $0 = true }
    }

    var codes: [String] {
        get async {
            var codes: [String] = []
            if isStopping.withLock({ $0 }) { codes.append("stopping") }
            do {
                let refuses = try await database.queryOne(
                    "ready", "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS refuses", deadline: .seconds(2)
                ) { try $0.column("refuses", as: Bool.self) }
                if refuses != false { codes.append("database_read_only") }
            } catch {
                codes.append("database_unavailable")
            }
            return codes
        }
    }
}
