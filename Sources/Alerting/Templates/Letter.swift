package import Foundation

/// What is told, before it has a form: the same for a chat and for an e-mail. Texts in it are plain; each form escapes them.
package struct Letter: Sendable, Hashable {
    package enum Block: Sendable, Hashable {
        case heading(String)
        case paragraph(String)
        /// Short lines, one under the other.
        case list([String])
        /// Such as `since  2026-11-21 20:30`.
        case fact(String, String)
        case link(String, String)
    }

    /// One line: the subject of an e-mail, the first line in a chat.
    package var title: String
    package var blocks: [Block]
    package var language: String

    package init(title: String, blocks: [Block], language: String) {
        self.title = title
        self.blocks = blocks
        self.language = language
    }
}

// MARK: A chat

extension Letter {
    /// Telegram's HTML, at most `TelegramMessage.longest` characters: what is too much is left out from the end, block by block, and the text says so.
    /// (core.telegram.org/bots/api#html-style)
    package var telegram: String {
        let limit = TelegramMessage.longest - 16
        var html = "<b>\(Self.escaped(title))</b>"
        var length = title.utf16.count
        for block in blocks {
            let (text, size) = Self.telegram(block)
            guard length + size + 2 <= limit else {
                html += "\n…"
                break
            }
            html += Self.separator(before: block) + text
            length += size + 2
        }
        return html
    }

    private static func separator(before block: Block) -> String {
        switch block {
        case .heading, .paragraph, .link: "\n\n"
        case .list, .fact: "\n"
        }
    }

    /// The block, and an upper bound of its length without tags.
    private static func telegram(_ block: Block) -> (String, Int) {
        switch block {
        case .heading(let text): ("<b>\(escaped(text))</b>", text.utf16.count)
        case .paragraph(let text): (escaped(text), text.utf16.count)
        case .list(let lines): (lines.map { "• " + escaped($0) }.joined(separator: "\n"), lines.reduce(0) { $0 + $1.utf16.count + 3 })
        case .fact(let name, let value): ("\(escaped(name)): <b>\(escaped(value))</b>", name.utf16.count + value.utf16.count + 2)
        case .link(let text, let url): ("<a href=\"\(escaped(url))\">\(escaped(text))</a>", text.utf16.count)
        }
    }

    /// The four characters that stand for themselves nowhere in HTML, Telegram's included.
    static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for character in text.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            // Neither form has a place for the others of these.
            case _ where character.value < 0x20 && character != "\n": result += " "
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}

// MARK: An e-mail

extension Letter {
    /// For who reads plain text.
    package var text: String {
        ([title] + blocks.map(Self.text)).joined(separator: "\n\n") + "\n"
    }

    private static func text(_ block: Block) -> String {
        switch block {
        case .heading(let text): text
        case .paragraph(let text): text
        case .list(let lines): lines.map { "- " + $0 }.joined(separator: "\n")
        case .fact(let name, let value): "\(name): \(value)"
        case .link(let text, let url): "\(text): \(url)"
        }
    }

    /// One page that needs nothing from anywhere: no image, no style sheet, no script.
    package var html: String {
        """
        <!doctype html>
        <html lang="\(language)"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>\(Self.escaped(title))</title></head>
        <body style="margin:0;padding:24px;background:#f4f4f5;color:#18181b;font:16px/1.5 system-ui,sans-serif">
        <div style="max-width:600px;margin:0 auto;padding:24px;background:#ffffff;border-radius:8px">
        <h1 style="margin:0 0 16px;font-size:20px">\(Self.escaped(title))</h1>
        \(blocks.map(Self.html).joined(separator: "\n"))
        </div></body></html>

        """
    }

    private static func html(_ block: Block) -> String {
        switch block {
        case .heading(let text): "<h2 style=\"margin:24px 0 8px;font-size:16px\">\(escaped(text))</h2>"
        case .paragraph(let text): "<p style=\"margin:0 0 12px\">\(escaped(text).replacing("\n", with: "<br>"))</p>"
        case .list(let lines):
            "<ul style=\"margin:0 0 12px;padding-left:20px\">" + lines.map { "<li>\(escaped($0))</li>" }.joined() + "</ul>"
        case .fact(let name, let value): "<p style=\"margin:0 0 4px\">\(escaped(name)): <strong>\(escaped(value))</strong></p>"
        case .link(let text, let url): "<p style=\"margin:12px 0\"><a href=\"\(escaped(url))\">\(escaped(text))</a></p>"
        }
    }
}
