/// What a person asks the bot for in a chat.
package enum TelegramCommand: Hashable, Sendable {
    /// With the payload of a link; nil: somebody just opened the chat.
    case start(payload: String?)
    case status
    case senders
    /// Seconds; 0 ends it.
    case mute(seconds: Int)
    /// What stood behind /mute is no time.
    case muteUnclear
    case unlink
    case help
    case unknown

    package static let longestMute = 7 * 86_400

    /// nil: the text is no command, or one for another bot (`/status@other_bot`).
    /// - Parameter bot: the bot's user name, without the `@`. Telegram ignores its case, so we do.
    package init?(_ text: String, bot: String) {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard let first = words.first, first.hasPrefix("/") else { return nil }
        let parts = first.dropFirst().split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty else { return nil }
        if parts.count == 2, parts[1].lowercased() != bot.lowercased() { return nil }
        switch name.lowercased() {
        case "start": self = .start(payload: words.count > 1 ? String(words[1]) : nil)
        case "status": self = .status
        case "senders": self = .senders
        case "mute":
            guard words.count > 1 else {
                self = .mute(seconds: 7_200)
                return
            }
            self = Self.seconds(words[1]).map { .mute(seconds: $0) } ?? .muteUnclear
        case "unlink", "stop": self = .unlink
        case "help": self = .help
        default: self = .unknown
        }
    }

    /// `30m`, `2h`, `1d`, `off`; at most a week.
    private static func seconds(_ text: Substring) -> Int? {
        if text.lowercased() == "off" || text == "0" { return 0 }
        guard let unit = ["m": 60, "h": 3_600, "d": 86_400][text.suffix(1).lowercased()], text.utf8.count <= 6,
            let count = Int(text.dropLast()), count > 0
        else { return nil }
        let seconds = count * unit
        return seconds <= longestMute ? seconds : nil
    }
}
