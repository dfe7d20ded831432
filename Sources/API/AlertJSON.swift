import Domain
import Foundation

/// An alert as callers see it (schema `Alert` of openapi.yaml).
struct AlertJSON: Encodable {
    struct Subject: Encodable {
        var kind: String
        var id: Nullable<String>
        var label: Nullable<String>
    }

    struct Figures: Encodable {
        var share: Double?
        var count: Int?
        var total: Int?
        var age: Int?
        var until: Date?
        var code: String?

        init(_ figures: AlertFigures) {
            share = figures.share
            count = figures.count
            total = figures.total
            age = figures.age
            until = figures.until
            code = figures.code
        }
    }

    struct Actor: Encodable {
        var key: String?
        var channel: String?

        init(_ actor: Alert.Actor) {
            switch actor {
            case .key(let id): key = id.description
            case .channel(let id): channel = id.description
            }
        }
    }

    var id: String
    var kind: String
    var severity: String
    var status: String
    var subjects: [Subject]
    var subjectCount: Int
    var openCount: Int
    var figures: Figures
    var openedAt: Date
    var clearedAt: Nullable<Date>
    var ending: Nullable<String>
    var acknowledgedAt: Nullable<Date>
    var acknowledgedBy: Nullable<Actor>
    var silencedUntil: Nullable<Date>
    var escalatedAt: Nullable<Date>
    var runbook: String

    enum CodingKeys: String, CodingKey {
        case id, kind, severity, status, subjects, figures, ending, runbook
        case subjectCount = "subject_count"
        case openCount = "open_count"
        case openedAt = "opened_at"
        case clearedAt = "cleared_at"
        case acknowledgedAt = "acknowledged_at"
        case acknowledgedBy = "acknowledged_by"
        case silencedUntil = "silenced_until"
        case escalatedAt = "escalated_at"
    }

    init(_ alert: Alert) {
        id = alert.id.description
        kind = alert.kind.rawValue
        severity = alert.severity.rawValue
        status = alert.clearedAt == nil ? "open" : "cleared"
        subjects = alert.subjects.map {
            Subject(kind: $0.kind.rawValue, id: Nullable($0.id.isEmpty ? nil : $0.id), label: Nullable($0.label))
        }
        subjectCount = alert.subjectCount
        openCount = alert.openCount
        figures = Figures(alert.figures)
        openedAt = alert.openedAt
        clearedAt = Nullable(alert.clearedAt)
        ending = Nullable(alert.ending?.rawValue)
        acknowledgedAt = Nullable(alert.acknowledgedAt)
        acknowledgedBy = Nullable(alert.acknowledgedBy.map(Actor.init))
        silencedUntil = Nullable(alert.silencedUntil)
        escalatedAt = Nullable(alert.escalatedAt)
        runbook = "/docs/alerts/\(alert.kind.rawValue)"
    }
}

/// What an account wants to be told of one kind (schema `AlertRule` of openapi.yaml).
struct AlertRuleJSON: Encodable {
    var kind: String
    var subject: String
    var enabled: Bool
    var severity: String
    var openAfter: Int
    var clearAfter: Int
    var share: Nullable<Double>
    var minimum: Nullable<Int>
    var age: Nullable<Int>
    var escalateAfter: Nullable<Int>
    var isDefault: Bool
    var settings: [String]

    enum CodingKeys: String, CodingKey {
        case kind, subject, enabled, severity, share, minimum, age, settings
        case openAfter = "open_after"
        case clearAfter = "clear_after"
        case escalateAfter = "escalate_after"
        case isDefault = "is_default"
    }

    init(_ rule: AlertRule) {
        kind = rule.kind.rawValue
        subject = rule.kind.subject.rawValue
        enabled = rule.isEnabled
        severity = rule.severity.rawValue
        openAfter = Int(rule.thresholds.openAfter)
        clearAfter = Int(rule.thresholds.clearAfter)
        share = Nullable(rule.thresholds.share)
        minimum = Nullable(rule.thresholds.minimum)
        age = Nullable(rule.thresholds.age.map { Int($0) })
        escalateAfter = Nullable(rule.escalateAfter.map { Int($0) })
        isDefault = rule.isDefault
        settings = AlertThresholds.Field.allCases.filter(rule.kind.settings.contains).map(\.rawValue)
    }
}

/// Where alerts go (schema `AlertChannel` of openapi.yaml).
struct AlertChannelJSON: Encodable {
    struct QuietHoursJSON: Encodable {
        var from: String
        var to: String

        init(_ hours: QuietHours) {
            from = Self.text(hours.from)
            to = Self.text(hours.to)
        }

        private static func text(_ minute: Int) -> String {
            [minute / 60, minute % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":")
        }
    }

    var id: String
    var type: String
    var state: String
    var stateCode: Nullable<String>
    var address: String
    var chatType: Nullable<String>
    var language: String
    var minimumSeverity: String
    var kinds: Nullable<[String]>
    var quietHours: Nullable<QuietHoursJSON>
    var timeZone: String
    var digestHour: Nullable<Int>
    var selfTest: Bool
    var escalationOnly: Bool
    var mutedUntil: Nullable<Date>
    var createdAt: Date
    var activatedAt: Nullable<Date>
    var lastSuccessAt: Nullable<Date>

    enum CodingKeys: String, CodingKey {
        case id, type, state, address, language, kinds
        case stateCode = "state_code"
        case chatType = "chat_type"
        case minimumSeverity = "minimum_severity"
        case quietHours = "quiet_hours"
        case timeZone = "time_zone"
        case digestHour = "digest_hour"
        case selfTest = "self_test"
        case escalationOnly = "escalation_only"
        case mutedUntil = "muted_until"
        case createdAt = "created_at"
        case activatedAt = "activated_at"
        case lastSuccessAt = "last_success_at"
    }

    init(_ channel: AlertChannel) {
        id = channel.id.description
        type = channel.kind.rawValue
        state = channel.state.rawValue
        stateCode = Nullable(channel.stateCode)
        switch channel.address {
        case .email(let email):
            address = email.text
            chatType = Nullable(nil)
        case .telegram(let chat):
            address = chat.title
            chatType = Nullable(chat.kind.rawValue)
        }
        let settings = channel.settings
        language = settings.language.rawValue
        minimumSeverity = settings.minimumSeverity.rawValue
        kinds = Nullable(settings.kinds?.map(\.rawValue))
        quietHours = Nullable(settings.quietHours.map(QuietHoursJSON.init))
        timeZone = settings.zone
        digestHour = Nullable(settings.digestHour)
        selfTest = settings.selfTest
        escalationOnly = settings.isEscalationOnly
        mutedUntil = Nullable(channel.mutedUntil)
        createdAt = channel.createdAt
        activatedAt = Nullable(channel.activatedAt)
        lastSuccessAt = Nullable(channel.lastSuccessAt)
    }
}

/// One message to a channel (schema `AlertNotice` of openapi.yaml).
struct AlertNoticeJSON: Encodable {
    var id: String
    var occasion: String
    var alerts: [String]
    var status: String
    var attempts: Int
    var code: Nullable<String>
    var createdAt: Date
    var finishedAt: Nullable<Date>

    enum CodingKeys: String, CodingKey {
        case id, occasion, alerts, status, attempts, code
        case createdAt = "created_at"
        case finishedAt = "finished_at"
    }

    init(_ notice: AlertNotice) {
        id = notice.id.description
        occasion = notice.occasion.rawValue
        alerts = notice.alerts.map(\.description)
        status = notice.state.rawValue
        attempts = notice.attempts
        code = Nullable(notice.code)
        createdAt = notice.createdAt
        finishedAt = Nullable(notice.finishedAt)
    }
}

/// Schema `QueuedNotice` of openapi.yaml.
struct QueuedNoticeJSON: Encodable {
    var notice: String
}

/// A link that was begun (schema `StartedTelegramLink` of openapi.yaml). Whoever opens it first has the chat.
struct StartedTelegramLinkJSON: Encodable {
    var id: String
    var url: String
    var groupURL: String
    var qrSVG: String
    var expiresAt: Date

    enum CodingKeys: String, CodingKey {
        case id, url
        case groupURL = "group_url"
        case qrSVG = "qr_svg"
        case expiresAt = "expires_at"
    }
}

/// Where a link stands (schema `TelegramLink` of openapi.yaml).
struct TelegramLinkJSON: Encodable {
    var id: String
    var state: String
    var channel: Nullable<AlertChannelJSON>
    var expiresAt: Date

    enum CodingKeys: String, CodingKey {
        case id, state, channel
        case expiresAt = "expires_at"
    }

    init(_ link: TelegramLink) {
        id = link.id.description
        expiresAt = link.expiresAt
        switch link.state {
        case .waiting:
            state = "waiting"
            channel = Nullable(nil)
        case .linked(let taken):
            state = "linked"
            channel = Nullable(AlertChannelJSON(taken))
        case .confirmed(let taken):
            state = "confirmed"
            channel = Nullable(AlertChannelJSON(taken))
        }
    }
}
