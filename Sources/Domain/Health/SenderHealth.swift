package import Foundation

/// What holds a connected sender back, each until its own end: a pause of everything, a pause of new chats only, a demotion. `distantPast`: never.
package struct SenderHealth: Sendable, Hashable {
    /// Nothing is sent before this (429, a ban).
    package var pausedUntil: Date
    /// Why, as a stable code; nil when it was never paused.
    package var pauseCode: String?
    /// How often in a row, for the growth of the next pause.
    package var pauseLevel: Int
    /// No first message to anybody before this (463).
    package var newChatsUntil: Date
    package var newChatsCode: String?
    package var newChatsLevel: Int
    /// Others go first until then.
    package var demotedUntil: Date
    package var changedAt: Date

    package init(
        pausedUntil: Date = .distantPast, pauseCode: String? = nil, pauseLevel: Int = 0, newChatsUntil: Date = .distantPast,
        newChatsCode: String? = nil, newChatsLevel: Int = 0, demotedUntil: Date = .distantPast, changedAt: Date = .distantPast
    ) {
        self.pausedUntil = pausedUntil
        self.pauseCode = pauseCode
        self.pauseLevel = pauseLevel
        self.newChatsUntil = newChatsUntil
        self.newChatsCode = newChatsCode
        self.newChatsLevel = newChatsLevel
        self.demotedUntil = demotedUntil
        self.changedAt = changedAt
    }

    /// Nothing holds it back, and nothing ever did.
    package static let well = SenderHealth()

    package func isPaused(at now: Date) -> Bool { pausedUntil > now }
    package func stopsNewChats(at now: Date) -> Bool { newChatsUntil > now }
    package func isDemoted(at now: Date) -> Bool { demotedUntil > now }
}
