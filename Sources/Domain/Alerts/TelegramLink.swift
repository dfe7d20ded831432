package import Foundation

/// A wish to have alerts in a Telegram chat, on its way: begun through the API, taken by the chat that sends its token, and confirmed through the API
/// by somebody who has seen which chat that is.
package struct TelegramLink: Sendable, Identified {
    package typealias ID = TypedID<TelegramLink>
    package static let idPrefix = "lnk"

    /// How long a token can be used, and how long a chat that has used it waits for its confirmation, in seconds.
    package static let lifetime: TimeInterval = 3_600
    /// Of one account at a time.
    package static let limit = 5

    package enum State: Sendable {
        /// No chat has sent the token yet.
        case waiting
        /// This chat has; it gets alerts once that is confirmed.
        case linked(AlertChannel)
        /// That was done.
        case confirmed(AlertChannel)
    }

    package let id: ID
    package let account: Account.ID
    package let state: State
    package let expiresAt: Date
}

/// A link that was begun. The token is shown this once; only its keyed hash is kept.
package struct StartedTelegramLink: Sendable {
    package let id: TelegramLink.ID
    /// 43 characters of base64url: the `start` (or `startgroup`) parameter of a deep link to the bot.
    package let token: String
    package let expiresAt: Date
}

/// What a chat's token led to.
package struct TakenTelegramLink: Sendable {
    package let account: Account.ID
    package let accountName: String
    package let channel: AlertChannel
    /// The chat had been confirmed before, and still is: nothing needs to be done.
    package let isAlreadyActive: Bool
}

/// A linked chat and the account whose alerts it gets.
package struct ChatLink: Sendable, Hashable {
    package let account: Account.ID
    package let channel: AlertChannel.ID
    package let language: AlertChannel.Language
}

/// What a person presses under a notice.
package enum NoticeAction: Sendable, Hashable {
    case acknowledge
    /// For so many seconds.
    case silence(TimeInterval)
}

/// Why something about channels and links cannot be done; the raw value is the code that the API shows.
package enum ChannelRefusal: String, Error, Sendable, CaseIterable {
    /// An account has at most 20 channels.
    case tooManyChannels = "too_many_channels"
    /// At most five links are live at a time.
    case tooManyLinks = "too_many_links"
    /// This account has a channel with that address.
    case channelExists = "channel_exists"
    /// No chat has used the link's token yet.
    case linkNotTaken = "link_not_taken"
    /// The last message of that kind was too short ago.
    case tooSoon = "too_soon"
    /// It is not active.
    case channelNotActive = "channel_not_active"
}
