package import Foundation

/// One message to one channel, and what became of it.
package struct AlertNotice: Sendable, Identified {
    package typealias ID = TypedID<AlertNotice>
    package static let idPrefix = "ntc"

    /// Why it is sent.
    package enum Occasion: String, Sendable, CaseIterable, Codable {
        /// Something is wrong, or has happened.
        case fired
        /// What was told before holds for more.
        case more
        case cleared
        /// Nobody has acknowledged it in time, or the chats that should have told are dead.
        case escalated
        case digest
        case selfTest = "self_test"
        /// The channel is active from now on.
        case linked
        /// Asks an e-mail address whether it wants this; has a secret.
        case verification
    }

    ///     pending ─▶ sent
    ///        └─────▶ dead
    package enum State: String, Sendable, CaseIterable { case pending, sent, dead }

    package let id: ID
    package let channel: AlertChannel.ID
    package let occasion: Occasion
    package let alerts: [Alert.ID]
    package let state: State
    package let attempts: Int
    /// Why it is dead, or failed last.
    package let code: String?
    package let createdAt: Date
    package let finishedAt: Date?
}

/// What a notice says. Frozen when the notice is made, so that every try has the same bytes; only labels are looked up when it is claimed.
package struct NoticeContent: Sendable, Hashable, Codable {
    /// Alerts that are told one by one; the rest is counted.
    package static let shownAlerts = 10

    package struct Item: Sendable, Hashable, Codable {
        package var alert: Alert.ID
        package var kind: AlertKind
        package var severity: AlertSeverity
        package var openedAt: Date
        package var clearedAt: Date?
        package var ending: Alert.Ending?
        /// At most `Alert.namedSubjects`.
        package var subjects: [NoticeSubject]
        package var subjectCount: Int
        package var figures: AlertFigures

        package init(
            alert: Alert.ID, kind: AlertKind, severity: AlertSeverity, openedAt: Date, clearedAt: Date? = nil, ending: Alert.Ending? = nil,
            subjects: [NoticeSubject], subjectCount: Int, figures: AlertFigures
        ) {
            self.alert = alert
            self.kind = kind
            self.severity = severity
            self.openedAt = openedAt
            self.clearedAt = clearedAt
            self.ending = ending
            self.subjects = subjects
            self.subjectCount = subjectCount
            self.figures = figures
        }
    }

    package var items: [Item]
    /// How many alerts there are besides `items`.
    package var others: Int
    package var digest: AlertDigest?
    package var madeAt: Date

    package init(items: [Item] = [], others: Int = 0, digest: AlertDigest? = nil, madeAt: Date) {
        self.items = items
        self.others = others
        self.digest = digest
        self.madeAt = madeAt
    }
}

package struct NoticeSubject: Sendable, Hashable, Codable {
    package var kind: AlertKind.SubjectKind
    /// The id's text; empty for the account and the gateway.
    package var id: String
    /// Looked up when the notice is claimed, never stored with it.
    package var label: String?

    private enum CodingKeys: String, CodingKey { case kind, id }

    package init(kind: AlertKind.SubjectKind, id: String, label: String? = nil) {
        self.kind = kind
        self.id = id
        self.label = label
    }
}

/// A day of an account in numbers.
package struct AlertDigest: Sendable, Hashable, Codable {
    package struct Line: Sendable, Hashable, Codable {
        package var kind: AlertKind
        /// Opened within the day, and open now.
        package var opened: Int
        package var open: Int
    }

    package var from: Date
    package var to: Date
    package var lines: [Line]
    /// Live senders: able to send now, and all.
    package var sendersReady: Int
    package var senders: Int
    /// Of the day, as far as they were counted: from when the account had a channel.
    package var sent: Int
    package var delivered: Int
    package var failed: Int
}

/// A notice that this node is to send now, with all that is needed for it.
package struct ClaimedNotice: Sendable {
    package let account: Account.ID
    package let accountName: String
    package let id: AlertNotice.ID
    package let occasion: AlertNotice.Occasion
    package let channel: AlertChannel
    package let content: NoticeContent
    /// The token of a verification: 43 characters of base64url. Never in a log.
    package let secret: String?
    /// Sent together under one idempotency key, or nil.
    package let batch: UUID?
    /// This try included.
    package let tries: Int
    package let createdAt: Date
    /// nil: this is the first try.
    package let firstTriedAt: Date?
    /// Telegram's numbers of the messages in this chat that told of the same alerts before, newest first, at most 20.
    package let earlierMessages: [Int64]
    /// Numbers the claims; the one that comes after this has a higher number.
    let claim: Int
}

/// What came of a try.
package struct NoticeReport: Sendable {
    package enum Ending: Sendable {
        /// - Parameters:
        ///   - telegramMessage: its number in the chat.
        ///   - provider: Resend's id of the e-mail.
        case sent(telegramMessage: Int64? = nil, provider: String? = nil)
        /// Once more with the same id, then or (nil) as the schedule says; dead 23 hours after the first try.
        case again(at: Date? = nil, code: String)
        /// The channel takes nothing any more; what else waits for it is dead too, and other channels are told.
        case blocked(code: String)
        /// The group has become a supergroup with this id: the channel follows and the notice is due at once.
        case migrated(to: Int64)
        /// This notice can never be sent; the channel is well.
        case dead(code: String)
        /// It was not tried after all, or given up because this node stops: somebody tries at once.
        case released
    }

    package let notice: ClaimedNotice
    package let ending: Ending
    /// When the try ended.
    package let at: Date

    package init(_ notice: ClaimedNotice, _ ending: Ending, at: Date) {
        self.notice = notice
        self.ending = ending
        self.at = at
    }
}
