package import Foundation

/// What people read: something is wrong, or has happened, with up to many senders, endpoints, keys at once. Never a body, never a recipient.
package struct Alert: Sendable, Identified {
    package typealias ID = TypedID<Alert>
    package static let idPrefix = "alt"
    /// Subjects that are named; the rest is counted.
    package static let namedSubjects = 20

    /// One thing that it is about.
    package struct Subject: Sendable, Hashable {
        package let kind: AlertKind.SubjectKind
        /// The id's text, such as `snd_…`; empty for the account and the gateway.
        package let id: String
        /// What people called it; nil: nothing, or it is gone.
        package let label: String?
    }

    /// Why it is over.
    package enum Ending: String, Sendable, CaseIterable, Codable {
        /// All is well again.
        case recovered
        /// What it was about was removed, or is now told as something else.
        case gone
        /// Somebody acknowledged something that had only happened.
        case acknowledged
        /// Nobody did, for a day.
        case expired
        /// Its rule was disabled.
        case disabled
    }

    /// Who acknowledged or silenced it.
    package enum Actor: Sendable, Hashable {
        case key(APIKey.ID)
        case channel(AlertChannel.ID)
    }

    package let id: ID
    package let account: Account.ID
    package let kind: AlertKind
    package let severity: AlertSeverity
    /// At most `namedSubjects`, the first ones.
    package let subjects: [Subject]
    /// All that it was ever about, and those of them that it still holds for.
    package let subjectCount: Int
    package let openCount: Int
    package let figures: AlertFigures
    package let openedAt: Date
    package let clearedAt: Date?
    package let ending: Ending?
    package let acknowledgedAt: Date?
    package let acknowledgedBy: Actor?
    /// Nobody is told of it before.
    package let silencedUntil: Date?
    package let escalatedAt: Date?
}

/// The few numbers of an alert, as they were when it was made or last got worse.
package struct AlertFigures: Sendable, Hashable, Codable {
    /// 0…1.
    package var share: Double?
    /// Messages behind the share, or that wait; senders that are outdated.
    package var count: Int?
    /// Of so many.
    package var total: Int?
    /// In seconds.
    package var age: Int?
    /// When a ban or a lock ends.
    package var until: Date?
    /// A stable code: a sender's state code, an endpoint's reason, a job's name.
    package var code: String?

    package init(share: Double? = nil, count: Int? = nil, total: Int? = nil, age: Int? = nil, until: Date? = nil, code: String? = nil) {
        self.share = share
        self.count = count
        self.total = total
        self.age = age
        self.until = until
        self.code = code
    }
}

/// Which alerts to show.
package struct AlertFilter: Sendable {
    package var kinds: [AlertKind]?
    package var severity: AlertSeverity?
    /// Only those that are still open, or only those that are over.
    package var isOpen: Bool?

    package init(kinds: [AlertKind]? = nil, severity: AlertSeverity? = nil, isOpen: Bool? = nil) {
        self.kinds = kinds
        self.severity = severity
        self.isOpen = isOpen
    }
}

/// How an account stands, for a person who asks in a chat.
package struct AlertOverview: Sendable {
    package let accountName: String
    /// The newest 20, and how many there are.
    package let open: [Alert]
    package let openCount: Int
    /// Senders by condition; those not in it have none.
    package let senders: [SenderCondition.Code: Int]
    /// Messages that wait to be sent, and since when the oldest that is due waits.
    package let queued: Int
    package let oldestDue: Date?
    package let mutedUntil: Date?
}
