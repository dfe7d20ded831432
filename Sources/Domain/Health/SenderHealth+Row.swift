import Foundation
import Postgres

extension SenderHealth {
    /// Of `sender_health h`, outer joined.
    static let columns: SQL = """
        h.paused_until, h.pause_code, h.pause_level, h.new_chats_until, h.new_chats_code, h.new_chats_level, h.demoted_until, h.changed_at
        """

    /// Reads a row of `sender_health` behind a LEFT JOIN; no row means that nothing ever held the sender back.
    init(_ row: RowReader) throws {
        guard let changedAt = try row.column("changed_at", as: Date?.self) else {
            self = .well
            return
        }
        self.init(
            pausedUntil: try row["paused_until"], pauseCode: try row["pause_code"], pauseLevel: try row["pause_level"],
            newChatsUntil: try row["new_chats_until"], newChatsCode: try row["new_chats_code"], newChatsLevel: try row["new_chats_level"],
            demotedUntil: try row["demoted_until"], changedAt: changedAt)
    }
}
