package import Domain
package import Foundation
package import Logging
import Postgres
package import ServiceLifecycle

/// Runs the hourly job at the start of every hour, and at once when the last run is older than an hour.
package struct CronService: Service {
    private let gateway: Gateway
    private let now: @Sendable () -> Date
    private let logger: Logger

    package init(gateway: Gateway, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger) {
        self.gateway = gateway
        self.now = now
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var isFirst = true
            while !Task.isCancelled {
                if !isFirst {
                    let wait = 3_600 - now().timeIntervalSince1970.truncatingRemainder(dividingBy: 3_600)
                    do { try await ContinuousClock().sleep(for: .seconds(wait + 0.5)) } catch { return }
                }
                await runOnce(onlyIfLate: isFirst)
                isFirst = false
            }
        }
    }

    private func runOnce(onlyIfLate: Bool) async {
        do {
            if onlyIfLate, let last = try await gateway.retention.runs(limit: 1).first, now().timeIntervalSince(last.startedAt) < 3_600 { return }
            let runs = try await gateway.retention.runHourly(now: now())
            logger.info("hourly job ran", metadata: ["jobs": "\(runs.count)", "failed": "\(runs.count { !$0.succeeded })"])
        } catch {
            logger.error("hourly job failed", metadata: ["error.code": "\(DatabaseError.code(of: error))"])
        }
    }
}
