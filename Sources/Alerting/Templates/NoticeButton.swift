import Domain
import Foundation

/// A button under a notice, as its data says it: what, and of which notice.
struct NoticeButton: Hashable, Sendable {
    let action: NoticeAction
    let notice: AlertNotice.ID

    init(_ action: NoticeAction, _ notice: AlertNotice.ID) {
        self.action = action
        self.notice = notice
    }

    /// nil: no button of ours has this.
    init?(data: String) {
        let parts = data.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let notice = try? AlertNotice.ID(text: String(parts[1])) else { return nil }
        switch parts[0] {
        case "ack": self.init(.acknowledge, notice)
        case "s1": self.init(.silence(3_600), notice)
        case "s24": self.init(.silence(86_400), notice)
        default: return nil
        }
    }

    /// At most 64 bytes. (core.telegram.org/bots/api#inlinekeyboardbutton)
    var data: String {
        switch action {
        case .acknowledge: "ack:\(notice)"
        case .silence(let seconds): "s\(Int(min(max(0, seconds), 86_400 * 99) / 3_600)):\(notice)"
        }
    }

    static func row(for notice: AlertNotice.ID, _ words: any Phrases) -> [[TelegramMessage.Button]] {
        [
            [TelegramMessage.Button(words.acknowledge, data: NoticeButton(.acknowledge, notice).data)],
            [
                TelegramMessage.Button(words.silenceHour, data: NoticeButton(.silence(3_600), notice).data),
                TelegramMessage.Button(words.silenceDay, data: NoticeButton(.silence(86_400), notice).data),
            ],
        ]
    }
}
