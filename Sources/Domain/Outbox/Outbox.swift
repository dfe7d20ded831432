package import Foundation
import Logging
package import Postgres
package import Primitives
import Secrets

/// Messages due to be sent, and those whose outcome is open. Every verb names the sender's epoch and changes nothing if that is over.
///
/// Order that must hold: accept → claim → `preWire` (ratchet and `on_wire` in one transaction) → first byte → acknowledge.
package struct Outbox: Sendable {
    /// How often a message's bytes may leave without an answer.
    package static let wireLimit = 3
    /// How often a claim may end without reaching the wire before the message is taken for poison. More than a handful: a process that is
    /// killed takes innocent messages with it, and they must survive a bad quarter of an hour.
    package static let claimLimit = 3

    /// How long the server's acknowledgement may take before the message is due again; the default.
    package static let defaultAcknowledgementLimit: TimeInterval = 75

    let databases: Databases
    let keys: AccountKeys
    let routing: Routing
    let random: any RandomSource
    let acknowledgementLimit: TimeInterval
    let isPaced: Bool
    let logger: Logger
    /// Where this process's dispatchers hear of what is due.
    package let hints: OutboxHints
    let unstored = UnstoredWatch()
    let preWires: GroupCommit<PreWireRequest, Void>
    let reports: GroupCommit<(WireReport, now: Date), [Message.ID]>

    init(
        databases: Databases, keys: AccountKeys, routing: Routing, hints: OutboxHints, random: any RandomSource,
        acknowledgementLimit: TimeInterval = defaultAcknowledgementLimit, isPaced: Bool = true, logger: Logger
    ) {
        self.databases = databases
        self.keys = keys
        self.routing = routing
        self.hints = hints
        self.random = random
        self.acknowledgementLimit = acknowledgementLimit
        self.isPaced = isPaced
        self.logger = logger
        let engine = databases.engine
        let batch = PreWireBatch(database: engine, random: random, acknowledgementLimit: acknowledgementLimit, isPaced: isPaced)
        preWires = GroupCommit(maximum: 128, lanes: 2, crowd: 64, spacing: .whileQueued(.milliseconds(8))) { try await batch.commit($0) }
        // Nobody waits for these but the server, who may: a message makes several reports within milliseconds, and most share a commit.
        reports = GroupCommit(maximum: 300, lanes: 1, spacing: .always(.milliseconds(40))) { try await Self.commit($0, in: engine) }
    }
}
