package import Foundation

/// What can be wrong, or worth knowing, so that people are told of it: a closed list, which `openapi.yaml` and the runbook pages are checked against.
/// The raw value is the public code.
package enum AlertKind: String, Sendable, CaseIterable, Codable {
    /// A sender has not been able to send for a while, and no other kind says why.
    case senderDown = "sender_down"
    case senderLoggedOut = "sender_logged_out"
    /// Another program used the sender's credentials while our lease held: they may be stolen.
    case senderReplaced = "sender_replaced"
    case senderBanned = "sender_banned"
    /// Most of what the sender may send today, or of the first contacts it may make, is used up.
    case senderQuota = "sender_quota"
    /// WhatsApp lets the sender start no new chats (463).
    case senderTimeLocked = "sender_time_locked"
    case failureShare = "failure_share"
    case undeliveredShare = "undelivered_share"
    case queueOld = "queue_old"
    case webhookFailing = "webhook_failing"
    /// A channel of alerts takes nothing any more.
    case channelDead = "channel_dead"
    case keyCreated = "key_created"
    case cronLate = "cron_late"
    case databaseTrouble = "database_trouble"
    case clientOutdated = "client_outdated"

    /// What an alert of this kind is about.
    package enum SubjectKind: String, Sendable, CaseIterable, Codable { case sender, account, endpoint, channel, key, gateway }

    package var subject: SubjectKind {
        switch self {
        case .senderDown, .senderLoggedOut, .senderReplaced, .senderBanned, .senderQuota, .senderTimeLocked: .sender
        case .failureShare, .undeliveredShare, .queueOld: .account
        case .webhookFailing: .endpoint
        case .channelDead: .channel
        case .keyCreated: .key
        case .cronLate, .databaseTrouble, .clientOutdated: .gateway
        }
    }

    /// Told to the operator's account only.
    package var isGatewayWide: Bool { subject == .gateway }

    /// Something that happened, rather than something that is: told once, over when somebody acknowledges it, or a day later.
    package var isEvent: Bool { self == .keyCreated || self == .senderReplaced }

    /// Unless the account's rule says otherwise.
    package var severity: AlertSeverity {
        switch self {
        case .senderDown, .senderLoggedOut, .senderReplaced, .senderBanned, .failureShare, .databaseTrouble, .clientOutdated: .critical
        case .senderTimeLocked, .undeliveredShare, .queueOld, .webhookFailing, .channelDead, .cronLate, .keyCreated: .warning
        case .senderQuota: .info
        }
    }

    /// Unless the account's rule says otherwise.
    package var thresholds: AlertThresholds {
        switch self {
        case .senderDown: AlertThresholds(openAfter: 180, clearAfter: 300)
        case .senderLoggedOut, .senderBanned, .senderTimeLocked, .channelDead: AlertThresholds(openAfter: 0, clearAfter: 0)
        case .senderReplaced, .keyCreated: AlertThresholds(openAfter: 0, clearAfter: 0)
        case .senderQuota: AlertThresholds(openAfter: 0, clearAfter: 0, share: 0.9)
        case .failureShare: AlertThresholds(openAfter: 0, clearAfter: 600, share: 0.2, minimum: 20)
        case .undeliveredShare: AlertThresholds(openAfter: 0, clearAfter: 600, share: 0.3, minimum: 20)
        case .queueOld: AlertThresholds(openAfter: 0, clearAfter: 300, age: 600)
        case .webhookFailing: AlertThresholds(openAfter: 0, clearAfter: 0, age: 3_600)
        case .cronLate: AlertThresholds(openAfter: 0, clearAfter: 0, age: 7_200)
        case .databaseTrouble: AlertThresholds(openAfter: 60, clearAfter: 0)
        case .clientOutdated: AlertThresholds(openAfter: 0, clearAfter: 300)
        }
    }

    /// What a rule of this kind may set, besides severity, escalation, and being enabled.
    package var settings: Set<AlertThresholds.Field> {
        var settings: Set<AlertThresholds.Field> = isEvent ? [] : [.openAfter, .clearAfter]
        let standard = thresholds
        if standard.share != nil { settings.insert(.share) }
        if standard.minimum != nil { settings.insert(.minimum) }
        if standard.age != nil { settings.insert(.age) }
        return settings
    }
}

/// How much it matters. Quiet hours hold back whatever is not critical; what is critical escalates when nobody acknowledges it.
package enum AlertSeverity: String, Sendable, CaseIterable, Codable, Comparable {
    case info, warning, critical

    private var rank: Int {
        switch self {
        case .info: 0
        case .warning: 1
        case .critical: 2
        }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}
