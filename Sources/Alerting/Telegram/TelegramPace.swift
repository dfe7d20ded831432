package import Foundation
import Synchronization

/// How fast the bot may write: the limits that Telegram's FAQ names (core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this), with
/// the bursts counted in, and what Telegram itself asks for in `retry_after`.
package final class TelegramPace: Sendable {
    private struct State {
        var bot: TokenBucket?
        var chats: [Int64: TokenBucket] = [:]
        var pauses: [Int64: Date] = [:]
        var botPause: Date?
    }

    /// As many chats are remembered; those that could have new buckets are forgotten.
    private static let remembered = 10_000

    private let state = Mutex(State())

    package init() {}

    /// Takes leave to send one message to this chat.
    /// - Returns: nil: now. Else nothing was taken, and it is to be asked again then.
    package func take(_ chat: Int64, now: Date) -> Date? {
        state.withLock { state in
            if let until = [state.botPause, state.pauses[chat]].compactMap({ $0 }).max(), until > now { return until }
            // 30 a second in all.
            var bot = state.bot ?? TokenBucket(capacity: 15, perSecond: 15, now: now)
            // One a second in a chat, short bursts allowed; 20 a minute in a group, whose id is negative.
            var one = state.chats[chat] ?? TokenBucket(capacity: 3, perSecond: chat < 0 ? 17 / 60 : 1, now: now)
            if let wait = [bot.next(now), one.next(now)].compactMap({ $0 }).max() { return wait }
            bot.take(now)
            one.take(now)
            if state.chats.count >= Self.remembered { state.chats = state.chats.filter { !$0.value.isFull(now) } }
            if state.pauses.count >= Self.remembered { state.pauses = state.pauses.filter { $0.value > now } }
            state.bot = bot
            state.chats[chat] = one
            return nil
        }
    }

    /// Telegram said 429 for this chat. The second chat it says so for while the first one waits means the bot as a whole.
    package func pause(_ chat: Int64, until: Date, now: Date) {
        state.withLock { state in
            state.pauses[chat] = max(until, state.pauses[chat] ?? until)
            if state.pauses.contains(where: { $0.key != chat && $0.value > now }) { state.botPause = max(until, state.botPause ?? until) }
        }
    }
}
