/// What is written to a chat: HTML as Telegram has it (core.telegram.org/bots/api#html-style), without previews of its links, with buttons under it.
package struct TelegramMessage: Sendable, Hashable, Encodable {
    /// (core.telegram.org/bots/api#inlinekeyboardbutton)
    package struct Button: Sendable, Hashable, Encodable {
        package let text: String
        /// What a press sends back: 1 to 64 bytes.
        package let data: String

        enum CodingKeys: String, CodingKey {
            case text
            case data = "callback_data"
        }

        package init(_ text: String, data: String) {
            self.text = text
            self.data = data
        }
    }

    struct Keyboard: Sendable, Hashable, Encodable {
        var inlineKeyboard: [[Button]]
        enum CodingKeys: String, CodingKey { case inlineKeyboard = "inline_keyboard" }
    }

    private struct Preview: Sendable, Hashable, Encodable {
        let isDisabled = true
        enum CodingKeys: String, CodingKey { case isDisabled = "is_disabled" }
    }

    /// After its entities are read. (core.telegram.org/bots/api#sendmessage)
    package static let longest = 4_096

    package let chat: Int64
    package let html: String
    private let parseMode = "HTML"
    private let preview = Preview()
    /// Without a sound.
    let isSilent: Bool?
    let keyboard: Keyboard?

    enum CodingKeys: String, CodingKey {
        case chat = "chat_id"
        case html = "text"
        case parseMode = "parse_mode"
        case preview = "link_preview_options"
        case isSilent = "disable_notification"
        case keyboard = "reply_markup"
    }

    package init(chat: Int64, html: String, isSilent: Bool = false, buttons: [[Button]] = []) {
        self.chat = chat
        self.html = html
        self.isSilent = isSilent ? true : nil
        keyboard = buttons.isEmpty ? nil : Keyboard(inlineKeyboard: buttons)
    }
}
