/// A bot's token as its maker got it from BotFather: `123456:` and letters. Stands in the path of every request, so it redacts itself.
package struct TelegramToken: Sendable, CustomStringConvertible, CustomReflectable {
    /// The bot's own id, which is no secret.
    package let botID: Int64
    let text: String

    /// nil: this is none. Spaces and line ends around it are ignored. (core.telegram.org/bots/api#authorizing-your-bot)
    package init?(_ text: String) {
        let text = text.trimmingPrefix { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed().map(String.init).joined()
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let id = Int64(parts[0]), id > 0, (20...128).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ Self.letters.contains($0) })
        else { return nil }
        botID = id
        self.text = text
    }

    package var description: String { "TelegramToken(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: ["token": "redacted"]) }

    private static let letters = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-".utf8)
}
