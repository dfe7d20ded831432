/// What keeps a message from leaving at once. The raw value is what the API shows as `limited_by`.
package enum LimitCode: String, Sendable, CaseIterable {
    case perSecond = "per_second"
    case perMinute = "per_minute"
    case perHour = "per_hour"
    case perDay = "per_day"
    case newRecipientsPerDay = "new_recipients_per_day"
    case warmUp = "warm_up"
    case gap
    case quietHours = "quiet_hours"
    case poolPerSecond = "pool_per_second"
    case poolPerMinute = "pool_per_minute"
    case poolPerHour = "pool_per_hour"
    case poolPerDay = "pool_per_day"
    case poolNewRecipientsPerDay = "pool_new_recipients_per_day"
    case poolGap = "pool_gap"
    case poolQuietHours = "pool_quiet_hours"
    /// WhatsApp told the sender to slow down, or banned it for a time.
    case paused = "sender_paused"
    /// WhatsApp lets the sender start no new chats for a time.
    case newChatsPaused = "new_chats_paused"

    package var sentence: String {
        switch self {
        case .perSecond: "The sender has used up its messages of this second."
        case .perMinute: "The sender has used up its messages of this minute."
        case .perHour: "The sender has used up its messages of this hour."
        case .perDay: "The sender has used up its messages of this day (UTC)."
        case .newRecipientsPerDay: "The sender has written to as many new recipients as it may on one day (UTC)."
        case .warmUp: "The sender was linked less than four weeks ago and has used up its first contacts of this day (UTC)."
        case .gap: "The sender pauses between two messages."
        case .quietHours: "It is a quiet hour where the recipient is."
        case .poolPerSecond: "The pool has used up its messages of this second."
        case .poolPerMinute: "The pool has used up its messages of this minute."
        case .poolPerHour: "The pool has used up its messages of this hour."
        case .poolPerDay: "The pool has used up its messages of this day (UTC)."
        case .poolNewRecipientsPerDay: "The pool has written to as many new recipients as it may on one day (UTC)."
        case .poolGap: "The pool pauses between two messages."
        case .poolQuietHours: "It is a quiet hour of the pool where the recipient is."
        case .paused: "WhatsApp has told the sender to slow down."
        case .newChatsPaused: "WhatsApp lets the sender start no new chats at the moment; people it knows are still reached."
        }
    }

    package var wayOut: String {
        switch self {
        case .perSecond, .perMinute, .perHour, .perDay, .newRecipientsPerDay: "Wait, raise the sender's limit, or add senders to the pool."
        case .warmUp: "Wait; the allowance rises every day. Switching warm_up off risks the number."
        case .gap, .poolGap: "Wait; it ends within seconds."
        case .quietHours, .poolQuietHours: "Wait until the morning, or send with priority high what cannot wait."
        case .poolPerSecond, .poolPerMinute, .poolPerHour, .poolPerDay, .poolNewRecipientsPerDay: "Wait, or raise the pool's limit."
        case .paused: "Wait; the pause ends by itself. Send more slowly, or over more senders."
        case .newChatsPaused: "Wait, or let another sender write to new recipients."
        }
    }

    /// The same limit when it is the pool's.
    var ofPool: LimitCode {
        switch self {
        case .perSecond: .poolPerSecond
        case .perMinute: .poolPerMinute
        case .perHour: .poolPerHour
        case .perDay: .poolPerDay
        case .newRecipientsPerDay, .warmUp: .poolNewRecipientsPerDay
        case .gap: .poolGap
        case .quietHours: .poolQuietHours
        case .poolPerSecond, .poolPerMinute, .poolPerHour, .poolPerDay, .poolNewRecipientsPerDay, .poolGap, .poolQuietHours, .paused,
            .newChatsPaused:
            self
        }
    }
}
