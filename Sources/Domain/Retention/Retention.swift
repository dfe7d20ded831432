package import Foundation
import Logging
import Postgres
import Primitives

/// The hourly cron: what must not be kept any longer goes, and every run is recorded. Runs at the same time do no harm.
package struct Retention: Sendable {
    let database: Database
    let random: any RandomSource
    let logger: Logger

    /// Does every job once, in order; one that fails is recorded and does not stop the others.
    /// - Throws: only if not even the record can be written.
    package func runHourly(now: Date) async throws -> [CronRun] {
        var runs: [CronRun] = []
        for job in RetentionJob.allCases {
            let run = await perform(job, now: now)
            try await record(run)
            Failpoint.hit(.retentionRecorded)
            runs.append(run)
        }
        return runs
    }

    /// The latest runs, newest first.
    package func runs(limit: Int = 100) async throws -> [CronRun] {
        try await database.query(
            "retention.runs",
            """
            SELECT run_id, job, started_at, finished_at, succeeded, affected, error_code
            FROM cron_runs
            ORDER BY started_at DESC, run_id DESC
            LIMIT \(limit)
            """, access: .readOnly
        ) { row in
            CronRun(
                id: try row["run_id"], job: try row["job"], startedAt: try row["started_at"], finishedAt: try row["finished_at"],
                succeeded: try row["succeeded"], affected: try row["affected"], errorCode: try row["error_code"])
        }
    }

    private func perform(_ job: RetentionJob, now: Date) async -> CronRun {
        let start = ContinuousClock.now
        var affected = 0
        var errorCode: String?
        do {
            var piece: Int
            repeat {
                Failpoint.hit(.retentionBegin)
                piece =
                    try await database.queryOne(
                        "retention.\(job.rawValue)", job.statement(now: now), settings: [TransactionSetting("lock_timeout", "5s")],
                        deadline: .seconds(60),
                        as: { try $0.column("affected", as: Int.self) }) ?? 0
                Failpoint.hit(job == .contactCache ? .contactsTruncated : .retentionPiece)
                affected += piece
            } while job.isPiecewise && piece >= RetentionJob.pieceSize
        } catch {
            let failure = error as? DatabaseError
            errorCode = failure?.code.label ?? "other"
            logger.error(
                "retention job failed",
                metadata: ["job": "\(job.rawValue)", "error.code": "\(errorCode ?? "")", "error.detail": "\(failure?.sqlState ?? "")"])
        }
        let took = (ContinuousClock.now - start) / .seconds(1)
        return CronRun(
            id: .make(at: now, random: random), job: job.rawValue, startedAt: now, finishedAt: now.addingTimeInterval(took),
            succeeded: errorCode == nil,
            affected: affected, errorCode: errorCode)
    }

    private func record(_ run: CronRun) async throws {
        try await database.execute(
            "retention.record",
            """
            INSERT INTO cron_runs (run_id, job, started_at, finished_at, succeeded, affected, error_code)
            VALUES (\(run.id), \(run.job), \(run.startedAt), \(run.finishedAt), \(run.succeeded), \(run.affected), \(run.errorCode as String?))
            """)
    }
}
