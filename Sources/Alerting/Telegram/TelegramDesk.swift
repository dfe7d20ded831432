package import Foundation
import Synchronization

/// The bot with what this process knows of it: its pace, its name, and which of its messages have no buttons any more.
package final class TelegramDesk: Sendable {
    private struct Place: Hashable {
        let chat: Int64
        let message: Int64
    }

    private static let remembered = 4_096

    package let bot: TelegramBot
    package let pace: TelegramPace
    private let name = Mutex<String?>(nil)
    private let bare = Mutex<Set<Place>>([])

    package init(bot: TelegramBot, pace: TelegramPace = TelegramPace()) {
        self.bot = bot
        self.pace = pace
    }

    /// The bot's user name without the `@`, asked for once. nil: Telegram does not say, now.
    package var userName: String? {
        get async {
            if let known = name.withLock({ $0 }) { return known }
            guard let found = try? await bot.me().username else { return nil }
            name.withLock { $0 = found }
            return found
        }
    }

    /// Writes in a chat unless that would be too fast; who asks for more than a message a second gets fewer answers.
    /// - Returns: false: nothing was sent.
    func reply(_ message: TelegramMessage, now: Date) async throws(TelegramFailure) -> Bool {
        guard pace.take(message.chat, now: now) == nil else { return false }
        do {
            _ = try await bot.send(message)
            return true
        } catch {
            if case .flood(let wait) = error { pace.pause(message.chat, until: now.addingTimeInterval(wait / .seconds(1)), now: now) }
            throw error
        }
    }

    /// Takes the buttons off a message, once. What cannot be done is left: the buttons then answer that there is nothing to do.
    func takeButtons(off message: Int64, in chat: Int64) async {
        let isNew = bare.withLock { bare in
            if bare.count >= Self.remembered { bare.removeAll(keepingCapacity: true) }
            return bare.insert(Place(chat: chat, message: message)).inserted
        }
        guard isNew else { return }
        do { try await bot.edit(message, in: chat, buttons: []) } catch {
            switch error {
            case .notModified, .gone, .blocked, .chatNotFound, .migrated, .badRequest: break
            case .flood, .conflict, .unauthorized, .server, .network, .unreadable:
                bare.withLock { _ = $0.remove(Place(chat: chat, message: message)) }
            }
        }
    }
}
