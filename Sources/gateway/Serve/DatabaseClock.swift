import Foundation
import Logging
import Postgres
import ServiceLifecycle
import Synchronization

/// The time of this node: its wall clock, unless that is not the database's time. Then it is the database's, as it was seen last, carried on by a
/// clock that nobody can set. So a node whose wall clock jumps neither makes messages wait for an hour nor lets them expire (reliability.md F56).
final class DatabaseClock: Service, Sendable {
    private struct Look {
        var time: Date
        var at: Duration
    }

    /// A wall clock that is less than this away is right: nodes are never closer than that to each other.
    static let tolerance: TimeInterval = 2
    private static let interval: Duration = .seconds(5)
    /// A slower answer says too little about the time.
    private static let patience: Duration = .seconds(1)

    private let database: Database
    private let wall: @Sendable () -> Date
    private let steady: @Sendable () -> Duration
    private let logger: Logger
    private let last = Mutex<Look?>(nil)

    /// - Parameters:
    ///   - steady: the reading of a clock that runs evenly and that nobody sets.
    init(
        database: Database, wall: @escaping @Sendable () -> Date = { Date() }, steady: (@Sendable () -> Duration)? = nil, logger: Logger
    ) {
        self.database = database
        self.wall = wall
        let origin = SuspendingClock.now
        self.steady = steady ?? { SuspendingClock.now - origin }
        self.logger = logger
    }

    /// Before the first look: the wall clock.
    func now() -> Date {
        let wall = wall()
        guard let error = error(of: wall), abs(error) > Self.tolerance else { return wall }
        return wall.addingTimeInterval(-error)
    }

    /// How far the wall clock is ahead of the database now, in seconds; nil: nobody knows.
    var offset: TimeInterval? { error(of: wall()) }

    /// How far a reading of the wall clock is ahead of the database, in seconds; nil: nobody knows.
    private func error(of wall: Date) -> TimeInterval? {
        last.withLock { $0 }.map { look in wall.timeIntervalSince(look.time) - (steady() - look.at) / .seconds(1) }
    }

    /// Looks every few seconds until shutdown.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            var isWrong = false
            while !Task.isCancelled {
                await self.look()
                let error = self.error(of: self.wall()) ?? 0
                let wasWrong = isWrong
                isWrong = abs(error) > Self.tolerance
                if isWrong, !wasWrong {
                    self.logger.warning("wall clock is not the database's", metadata: ["seconds": "\(Int(error.rounded()))"])
                }
                do { try await ContinuousClock().sleep(for: Self.interval) } catch { return }
            }
        }
    }

    /// Asks the database for its time; what it said before stays when it does not answer.
    func look() async {
        let start = steady()
        do {
            let time = try await database.queryOne(
                "clock.look", "SELECT clock_timestamp() AS moment", deadline: Self.patience, access: .readOnly
            ) { try $0.column("moment", as: Date.self) }
            let took = steady() - start
            guard let time, took <= Self.patience else { return }
            last.withLock { $0 = Look(time: time, at: start + took / 2) }
        } catch {
            logger.debug("database's time is unknown", metadata: ["error.code": "\(type(of: error))"])
        }
    }
}
