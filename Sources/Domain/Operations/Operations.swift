package import Foundation
package import Postgres

/// What an operator wants to know about everything that is here: counts and ages, and never an id of anybody.
package struct Operations: Sendable {
    let database: Database

    /// - Parameter database: under the engine's login; best a connection of its own, which nobody else keeps busy.
    package init(database: Database) { self.database = database }

    /// One look at everything. Reads the queue and the senders once, so not more often than every few seconds.
    package struct Figures: Sendable, Equatable {
        /// By state, as in `Account.State`.
        package var accounts: [String: Int] = [:]
        /// By state, as in `SenderState`.
        package var liveSenders: [String: Int] = [:]
        package var testSenders: [String: Int] = [:]
        /// Messages that are not settled, by state: scheduled, hold, accepted, prepared, on_wire.
        package var queue: [String: Int] = [:]
        /// How long the oldest message that could be sent waits, in seconds; nil: none does.
        package var oldestQueued: TimeInterval?
        /// Rows of the contact cache, and the age of the oldest in seconds.
        package var contacts = 0
        package var oldestContact: TimeInterval?
        /// The last success of each of the hourly job's tasks within 7 days.
        package var cronSuccesses: [String: Date] = [:]
        /// Tasks whose last run failed.
        package var cronFailures: Set<String> = []
        /// How far ahead there are partitions, by table, in seconds.
        package var partitionsAhead: [String: TimeInterval] = [:]
        /// Webhook deliveries that are not done, and how long the oldest of those that are due waits, in seconds.
        package var webhooksPending = 0
        package var oldestWebhook: TimeInterval?
        /// Webhook deliveries that were given up in the last 24 hours.
        package var webhooksDead = 0
        /// Engine nodes seen in the last minute.
        package var nodes = 0

        package init() {}
    }

    /// - Parameter now: of this node.
    package func figures(now: Date, deadline: Duration = .seconds(2)) async throws -> Figures {
        let rows = try await database.query(
            "operations.figures", "SELECT figure, label, value FROM gateway_operations(\(now))", deadline: deadline, access: .readOnly
        ) { row in
            (
                figure: try row.column("figure", as: String.self), label: try row.column("label", as: String.self),
                value: try row.column("value", as: Double.self)
            )
        }
        var figures = Figures()
        for row in rows {
            switch row.figure {
            case "accounts": figures.accounts[row.label] = Int(row.value)
            case "live_senders": figures.liveSenders[row.label] = Int(row.value)
            case "test_senders": figures.testSenders[row.label] = Int(row.value)
            case "queue": figures.queue[row.label] = Int(row.value)
            case "queue_oldest": figures.oldestQueued = row.value
            case "contacts": figures.contacts = Int(row.value)
            case "contacts_oldest": figures.oldestContact = row.value
            case "cron_success": figures.cronSuccesses[row.label] = Date(timeIntervalSince1970: row.value)
            case "cron_failed": if row.value > 0 { figures.cronFailures.insert(row.label) }
            case "partitions_ahead": figures.partitionsAhead[row.label] = row.value
            case "webhooks_pending": figures.webhooksPending = Int(row.value)
            case "webhooks_oldest": figures.oldestWebhook = row.value
            case "webhooks_dead": figures.webhooksDead = Int(row.value)
            case "nodes": figures.nodes = Int(row.value)
            // A newer node's migration may tell more.
            default: break
            }
        }
        return figures
    }

    /// What became of messages that left: for each that is still there, when its bytes left last, and when the first receipt came.
    package struct Fate: Sendable, Equatable {
        package let message: Message.ID
        package let wireAt: Date?
        package let deliveredAt: Date?
    }

    /// - Parameter messages: a few hundred at most.
    package func fates(of messages: [(account: Account.ID, message: Message.ID)], deadline: Duration = .seconds(2)) async throws -> [Fate] {
        guard !messages.isEmpty else { return [] }
        return try await database.query(
            "operations.fates",
            """
            SELECT m.message_id, m.wire_at, m.delivered_at
            FROM unnest(\(messages.map(\.account)), \(messages.map(\.message))) AS i (account_id, message_id)
            JOIN messages m ON m.account_id = i.account_id AND m.message_id = i.message_id
            ORDER BY m.message_id
            """, settings: Databases.accounts(messages.map(\.account)), deadline: deadline, access: .readOnly
        ) { row in Fate(message: try row["message_id"], wireAt: try row["wire_at"], deliveredAt: try row["delivered_at"]) }
    }
}
