import Primitives

/// Where Telegram posts updates, and the secret by which its requests are known. (core.telegram.org/bots/api#setwebhook)
package struct TelegramWebhook: Sendable, CustomStringConvertible, CustomReflectable {
    /// The header that has the secret, in lower case.
    package static let header = "x-telegram-bot-api-secret-token"

    package let url: String
    let secret: String

    /// nil: the secret is not 16 to 256 of A-Z, a-z, 0-9, `_` and `-`. Telegram would take a shorter one; a person should not. Spaces and line ends
    /// around it are ignored.
    package init?(url: String, secret: String) {
        let parts = secret.split(whereSeparator: \.isWhitespace)
        guard parts.count == 1, let secret = parts.first, (16...256).contains(secret.utf8.count),
            secret.utf8.allSatisfy({ Self.letters.contains($0) })
        else { return nil }
        self.url = url
        self.secret = String(secret)
    }

    /// Whether a request's header has the secret, in a time that depends on lengths only.
    package func isGenuine(_ header: String?) -> Bool { constantTimeEqual(Array((header ?? "").utf8), Array(secret.utf8)) }

    package var description: String { "TelegramWebhook(redacted)" }
    package var customMirror: Mirror { Mirror(self, children: ["webhook": "redacted"]) }

    private static let letters = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-".utf8)
}
