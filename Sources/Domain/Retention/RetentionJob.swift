import Foundation
import Postgres

/// What the hourly run does, in this order. One line per class of design.md §8; each is a transaction of its own.
enum RetentionJob: String, CaseIterable, Sendable {
    case contactCache = "contact_cache"
    case makePartitions = "make_partitions"
    case pairings
    case credentials
    case bodies = "message_bodies"
    case sentMessages = "sent_messages"
    case unstored = "unstored_messages"
    case awaitedDevices = "awaited_devices"
    case messages
    case events = "message_events"
    case attempts = "message_attempts"
    case wireIDs = "wire_ids"
    case signalSessions = "signal_sessions"
    case signalIdentities = "signal_identities"
    case senderRecipients = "sender_recipients"
    case senderUsage = "sender_usage"
    case poolUsage = "pool_usage"
    case senderHealth = "sender_health"
    case eventSubscribers = "event_subscribers"
    case publishedEvents = "events"
    case stuckDeliveries = "webhook_deliveries_stuck"
    case doneDeliveries = "webhook_deliveries_done"
    case deadDeliveries = "webhook_deliveries_dead"
    case webhookSecrets = "webhook_secrets"
    case eventReplays = "event_replays"
    case telegramLinks = "telegram_links"
    case emailVerifications = "email_verifications"
    case sentNotices = "alert_notices_sent"
    case deadNotices = "alert_notices_dead"
    case alerts
    case messageShares = "message_shares"
    case telegramUpdates = "telegram_updates"
    case receiptMails = "receipt_mails"
    case idempotency
    case revokedKeyLabels = "revoked_key_labels"
    case revokedKeys = "revoked_keys"
    case receipts
    case cronRuns = "cron_runs"

    private static let day: TimeInterval = 86_400
    private static let year: TimeInterval = 365 * day
    private static let sweepLimit: Int32 = 10_000

    /// Gives the number of rows or partitions as `affected`.
    func statement(now: Date) -> SQL {
        switch self {
        case .contactCache: "SELECT gateway_truncate_contact_cache() AS affected"
        case .makePartitions: "SELECT gateway_make_partitions(\(now), 7::int4, 2::int4)::bigint AS affected"
        case .credentials: "SELECT gateway_purge_stragglers(\(now.addingTimeInterval(-SenderState.loggedOutGrace))) AS affected"
        case .bodies, .sentMessages: drop(now.addingTimeInterval(-30 * Self.day))
        case .unstored: "SELECT gateway_erase_unstored(\(now.addingTimeInterval(-SendMessage.unstoredLifetime)), \(Self.sweepLimit)) AS affected"
        case .awaitedDevices: sweepRouting(now.addingTimeInterval(-60 * Self.day))
        case .senderRecipients: sweepRouting(now.addingTimeInterval(-Self.year))
        case .senderUsage, .poolUsage: sweepRouting(now.addingTimeInterval(-2 * Self.day))
        case .senderHealth: sweepRouting(now.addingTimeInterval(-30 * Self.day))
        case .messages, .events, .attempts: drop(now.addingTimeInterval(-Self.year))
        case .pairings, .idempotency: sweep(now)
        case .wireIDs, .signalSessions, .signalIdentities: sweep(now.addingTimeInterval(-Self.year))
        case .webhookSecrets: sweepWebhooks(now)
        case .eventReplays: sweepWebhooks(now.addingTimeInterval(-IdempotencyClaim.lifetime))
        case .stuckDeliveries, .doneDeliveries: sweepWebhooks(now.addingTimeInterval(-Webhooks.shownWhenDelivered))
        case .deadDeliveries: sweepWebhooks(now.addingTimeInterval(-Webhooks.shownWhenDead))
        case .publishedEvents, .eventSubscribers: sweepWebhooks(now.addingTimeInterval(-EventLog.lifetime))
        case .telegramLinks, .emailVerifications, .receiptMails: sweepAlerts(now)
        case .sentNotices: sweepAlerts(now.addingTimeInterval(-Alerts.shownWhenSent))
        case .deadNotices: sweepAlerts(now.addingTimeInterval(-Alerts.shownWhenDead))
        case .alerts: sweepAlerts(now.addingTimeInterval(-Alerts.lifetime))
        case .messageShares: sweepAlerts(now.addingTimeInterval(-26 * 3_600))
        case .telegramUpdates: sweepAlerts(now.addingTimeInterval(-3 * Self.day))
        case .revokedKeyLabels: sweep(now)
        case .revokedKeys: sweep(now.addingTimeInterval(-30 * Self.day))
        case .receipts: sweep(now.addingTimeInterval(-2 * Self.year))
        case .cronRuns: sweep(now.addingTimeInterval(-90 * Self.day))
        }
    }

    private func drop(_ before: Date) -> SQL { "SELECT gateway_drop_partitions(\(rawValue), \(before)) AS affected" }
    private func sweep(_ before: Date) -> SQL { "SELECT gateway_sweep(\(rawValue), \(before), \(Self.sweepLimit)) AS affected" }

    private func sweepWebhooks(_ before: Date) -> SQL {
        "SELECT gateway_sweep_webhooks(\(rawValue), \(before), \(Self.sweepLimit)) AS affected"
    }

    private func sweepAlerts(_ before: Date) -> SQL {
        "SELECT gateway_sweep_alerts(\(rawValue), \(before), \(Self.sweepLimit)) AS affected"
    }

    private func sweepRouting(_ before: Date) -> SQL {
        "SELECT gateway_sweep_routing(\(rawValue), \(before), \(Self.sweepLimit)) AS affected"
    }

    /// Whether one call may leave work for another.
    var isPiecewise: Bool {
        switch self {
        case .idempotency, .wireIDs, .signalSessions, .signalIdentities, .unstored, .awaitedDevices, .senderRecipients, .publishedEvents,
            .stuckDeliveries, .doneDeliveries, .deadDeliveries, .sentNotices, .deadNotices, .alerts, .messageShares, .telegramUpdates:
            true
        default: false
        }
    }

    static let pieceSize = Int(sweepLimit)
}
