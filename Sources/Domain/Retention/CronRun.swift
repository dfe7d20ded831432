package import Foundation

/// One job of one hourly run, as it is shown.
package struct CronRun: Sendable, Identified {
    package typealias ID = TypedID<CronRun>
    package static let idPrefix = "job"

    package let id: ID
    package let job: String
    package let startedAt: Date
    package let finishedAt: Date
    package let succeeded: Bool
    /// Rows or partitions that went (or were made).
    package let affected: Int
    /// Stable; nil after success.
    package let errorCode: String?
}
